// Command memory serves S3 from memory, by rclone's gofakes3: another implementation
// than versitygw, without Object Lock and without rights for each account.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

func main() {
	socket := flag.String("socket", "", "the path of the Unix socket to listen on")
	flag.Parse()
	// Not arguments, which all users of a machine can read.
	keys, buckets := os.Getenv("S3_ACCESS_KEYS"), os.Getenv("S3_BUCKETS")
	if err := serve(*socket, strings.Fields(keys), strings.Fields(buckets)); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

// serve serves buckets to accounts, each of them "access_key_id:secret_access_key".
func serve(socket string, accounts, buckets []string) error {
	pairs := map[string]string{}
	for _, account := range accounts {
		id, secret, found := strings.Cut(account, ":")
		if !found {
			return errors.New("an account in S3_ACCESS_KEYS has no secret")
		}
		pairs[id] = secret
	}
	if len(pairs) == 0 {
		return errors.New("S3_ACCESS_KEYS is empty: the server would not check signatures")
	}
	backend := s3mem.New()
	for _, bucket := range buckets {
		if err := backend.CreateBucket(context.Background(), bucket); err != nil {
			return err
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: gofakes3.New(storage{backend}, gofakes3.WithV4Auth(pairs)).Server(), ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// storage takes an empty delimiter for none, as S3 does. Clients send one to list
// everything, and gofakes3 would find nothing.
type storage struct{ *s3mem.Backend }

// ListBucket implements gofakes3.Backend.
func (s storage) ListBucket(ctx context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	if prefix != nil && prefix.Delimiter == "" {
		prefix.HasDelimiter = false
	}
	return s.Backend.ListBucket(ctx, name, prefix, page)
}

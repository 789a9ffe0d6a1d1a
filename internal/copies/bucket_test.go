package copies_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestRealBuckets proves on real S3 servers, which verify signatures, that objects are read
// whatever their keys contain, that folders are listed below such a prefix, and that a wrong
// secret, a missing bucket and a missing object are told apart.
func TestRealBuckets(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]stack.S3Kind{"versitygw": stack.S3Versity, "gofakes3": stack.S3Memory} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := stack.StartS3(t.Context(), stack.S3Options{Kind: kind})
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			const prefix, folder = "a b/c+d=e&f/ção~(1)!'*", "20261128t060000z-0f7c4f5e-1111-4222-8333-444455556666"
			place := bucket.Place{
				Endpoint: s.Endpoint, Region: stack.S3Region, Bucket: s.PlainBucket, Prefix: prefix, ProjectRef: strings.Repeat("a", 20), Backup: "auto-backup",
				AccessKeyID: s.Reader.AccessKeyID, SecretAccessKey: s.Reader.SecretAccessKey,
			}
			root := prefix + "/" + place.ProjectRef + "/auto-backup/"
			data := []byte("some bytes")
			sum := sha256.Sum256(data)
			file := manifest.File{Key: "rows/%41 x?y#z;é@,$.cms", Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
			_, err = s.Client(s.Root).PutObject(t.Context(), place.Bucket, root+folder+"/"+file.Key, bytes.NewReader(data), file.Bytes, minio.PutObjectOptions{})
			must(t, err)
			b, err := bucket.Open(place)
			must(t, err)
			if got, err := b.Read(t.Context(), folder, file); err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %q, %v", got, err)
			}
			if _, err := b.Read(t.Context(), folder, manifest.File{Key: "gone", Bytes: 1}); !errors.Is(err, bucket.ErrMissing) {
				t.Errorf("a missing object: %v", err)
			}
			listing, err := b.List(t.Context())
			if err != nil || len(listing.Unfinished) != 1 || listing.Unfinished[0].Folder != folder {
				t.Errorf("listed %+v, %v", listing, err)
			}
			for kind, change := range map[error]func(*bucket.Place){
				bucket.ErrDenied:   func(p *bucket.Place) { p.SecretAccessKey = "wrong" },
				bucket.ErrNoBucket: func(p *bucket.Place) { p.Bucket = "there-is-none" },
			} {
				wrong := place
				change(&wrong)
				b, err := bucket.Open(wrong)
				must(t, err)
				if _, err := b.List(t.Context()); !errors.Is(err, kind) {
					t.Errorf("want %v, got %v", kind, err)
				}
			}
		})
	}
}

// Package bucket finds and reads off-site copies in an S3 bucket.
package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// parallel is how many manifests are read at once.
const parallel = 8

// A Place is where the copies of one backup are. The names of its fields are those of
// the arguments.
type Place struct {
	// Endpoint is a URL without the bucket, which may have a path. Region is what the
	// signature names.
	Endpoint, Region, Bucket string
	// Prefix may be empty.
	Prefix string
	// ProjectRef and Backup name the backup.
	ProjectRef, Backup string

	AccessKeyID, SecretAccessKey string
}

// A Bucket reads the copies at a place. It is safe for concurrent use.
type Bucket struct {
	place Place
	host  string
	s3    *s3
}

// Open returns a Bucket. It sends no request.
func Open(place Place) (*Bucket, error) {
	u, err := url.Parse(place.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.HasSuffix(u.Path, "/") || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("`endpoint` must be a URL without a slash at its end, such as https://s3.eu-central-1.amazonaws.com")
	}
	for _, s := range []struct{ argument, value string }{{"region", place.Region}, {"bucket", place.Bucket}, {"access_key_id", place.AccessKeyID}, {"secret_access_key", place.SecretAccessKey}} {
		if s.value == "" {
			return nil, fmt.Errorf("`%s` is empty", s.argument)
		}
	}
	return &Bucket{place, u.Host, newS3(place, u)}, nil
}

// String names the place, for messages.
func (b *Bucket) String() string {
	return strings.TrimSuffix(b.place.Bucket+"/"+b.root(), "/") + " at " + b.host
}

// root is the folder of the backup's copies, with a slash at its end.
func (b *Bucket) root() string {
	return path.Join(b.place.Prefix, b.place.ProjectRef, b.place.Backup) + "/"
}

// A Copy is one backup in the bucket.
type Copy struct {
	*manifest.Manifest
	// Folder is the name of its folder, Key the whole key of its manifest.
	Folder, Key string
	// Size is the size of its manifest, in bytes.
	Size int64
}

// Passed is a folder that does not hold a whole backup, and why.
type Passed struct {
	Folder string `json:"folder"`
	Reason string `json:"reason"`
}

// A Listing is what a bucket holds of one backup, the newest first.
type Listing struct {
	Copies []Copy
	// Unfinished have no manifest: their export did not end. Damaged have one that
	// cannot be used.
	Unfinished, Damaged []Passed
}

// List reads all manifests.
func (b *Bucket) List(ctx context.Context) (*Listing, error) {
	folders, err := b.folders(ctx)
	if err != nil {
		return nil, err
	}
	found := make([][]Copy, len(folders))
	problems := make([]string, len(folders))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, folder := range folders {
		group.Go(func() (err error) {
			found[i], problems[i], err = b.manifests(ctx, folder)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	listing := &Listing{}
	for i, folder := range folders {
		switch {
		case len(found[i]) > 0:
			listing.Copies = append(listing.Copies, found[i]...)
		case problems[i] == "":
			listing.Unfinished = append(listing.Unfinished, Passed{folder, "it has no manifest: its export did not end"})
		default:
			listing.Damaged = append(listing.Damaged, Passed{folder, problems[i]})
		}
	}
	listing.Copies = confirmed(listing.Copies)
	return listing, nil
}

// folders lists the folders of backups, the newest first.
func (b *Bucket) folders(ctx context.Context) (folders []string, err error) {
	root := b.root()
	for object, err := range b.s3.list(ctx, root) {
		if err != nil {
			return nil, b.explain(ctx, "list "+b.String(), err)
		}
		folder := strings.TrimSuffix(strings.TrimPrefix(object.Key, root), "/")
		if _, _, ok := manifest.MadeAtOf(folder); ok && strings.HasSuffix(object.Key, "/") {
			folders = append(folders, folder)
		}
	}
	slices.SortFunc(folders, func(a, b string) int { return strings.Compare(b, a) })
	return folders, ctx.Err()
}

// manifests reads the manifests of a folder, of which there are several only if the
// first could not be confirmed. problem says why there is none that can be used.
func (b *Bucket) manifests(ctx context.Context, folder string) (copies []Copy, problem string, err error) {
	for object, err := range b.s3.list(ctx, b.root()+folder+"/manifest") {
		if err != nil {
			return nil, "", b.explain(ctx, "list "+b.root()+folder, err)
		}
		if !manifest.IsName(path.Base(object.Key)) {
			continue
		}
		if object.Size > manifest.Largest {
			problem = fmt.Sprintf("its manifest has %d bytes; %d are the limit", object.Size, manifest.Largest)
			continue
		}
		data, err := b.read(ctx, object.Key, object.Size)
		if err != nil {
			return nil, "", err
		}
		m, err := manifest.Read(data)
		if err == nil {
			err = b.belongs(m, folder)
		}
		if err != nil {
			problem = "its manifest " + path.Base(object.Key) + " cannot be used: " + err.Error()
			continue
		}
		copies = append(copies, Copy{m, folder, object.Key, object.Size})
	}
	return copies, problem, ctx.Err()
}

// belongs reports whether a manifest is of the backup in whose folder it is.
func (b *Bucket) belongs(m *manifest.Manifest, folder string) error {
	switch {
	case m.ProjectRef != b.place.ProjectRef:
		return fmt.Errorf("it is of the project %q", text.Head(text.Line(m.ProjectRef), 60))
	case m.Backup != b.place.Backup:
		return fmt.Errorf("it is of the backup %q", text.Head(text.Line(m.Backup), 60))
	case m.Folder() != folder:
		return fmt.Errorf("it is of the folder %s", m.Folder())
	}
	return nil
}

// confirmed leaves one manifest for each folder: the one that its successor names, or
// else the first.
func confirmed(copies []Copy) []Copy {
	named := map[string]bool{}
	for _, c := range copies {
		if c.Previous != nil {
			named[c.Previous.SHA256] = true
		}
	}
	at := map[string]int{}
	var left []Copy
	for _, c := range copies {
		if i, ok := at[c.Folder]; !ok {
			at[c.Folder] = len(left)
			left = append(left, c)
		} else if named[c.SHA256] {
			left[i] = c
		}
	}
	return left
}

// Newest is the value of the argument backup for the newest whole backup.
const Newest = "latest"

// Find returns the backup that which names: "latest", a time in RFC 3339 for the newest
// backup that was made until then, or the ID of a backup. passed are the newer folders
// that were left out because they are not whole.
func (l *Listing) Find(which string) (found *Copy, passed []Passed, err error) {
	at, timeErr := time.Parse(time.RFC3339, which)
	matches := func(folder string) bool {
		madeAt, id, _ := manifest.MadeAtOf(folder)
		switch {
		case which == Newest:
			return true
		case timeErr == nil:
			return !madeAt.After(at)
		}
		return id == which
	}
	for i := range l.Copies {
		if matches(l.Copies[i].Folder) {
			found = &l.Copies[i]
			break
		}
	}
	for _, p := range slices.Concat(l.Damaged, l.Unfinished) {
		if matches(p.Folder) && (found == nil || p.Folder > found.Folder) {
			passed = append(passed, p)
		}
	}
	slices.SortFunc(passed, func(a, b Passed) int { return strings.Compare(b.Folder, a.Folder) })
	if found == nil {
		said := ""
		for _, p := range passed[:min(3, len(passed))] {
			said += fmt.Sprintf(". %s: %s", p.Folder, p.Reason)
		}
		return nil, passed, fmt.Errorf("the bucket has no whole backup that `backup = %q` names; %d backups are there%s", text.Head(text.Line(which), 60), len(l.Copies), said)
	}
	return found, passed, nil
}

// Read returns an object of a backup, and nothing unless its size and digest are what
// the manifest says. errors.Is(err, ErrChanged) tells a changed one.
func (b *Bucket) Read(ctx context.Context, folder string, file manifest.File) ([]byte, error) {
	data, err := b.read(ctx, b.root()+folder+"/"+file.Key, file.Bytes)
	if err != nil {
		return nil, err
	}
	if err := Check(data, file); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", folder, file.Key, err)
	}
	return data, nil
}

// Check compares the bytes of an object with what the manifest says of it.
func Check(data []byte, file manifest.File) error {
	if int64(len(data)) != file.Bytes {
		return fmt.Errorf("%w: it has %d bytes, and %d in the manifest", ErrChanged, len(data), file.Bytes)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != file.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s, and %s in the manifest", ErrChanged, hex.EncodeToString(sum[:]), file.SHA256)
	}
	return nil
}

// read reads an object of at most limit bytes; of a longer one it returns one byte more.
func (b *Bucket) read(ctx context.Context, key string, limit int64) ([]byte, error) {
	data, err := b.s3.get(ctx, key, nil, limit)
	if err != nil {
		return nil, b.explain(ctx, "read "+key, err)
	}
	return data, nil
}

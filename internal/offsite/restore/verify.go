package restore

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// verify reads every object, compares it with the manifest, opens it, compares what is in
// it, and keeps it, encrypted, in a file. A dry run goes on after a problem, to find all
// of them. At any time one object is in memory.
func (r *run) verify(ctx context.Context) error {
	total, done := r.copy.Bytes(), int64(0)
	next := 0
	object := func(f manifest.File, check func(data []byte) error) (ok bool, err error) {
		place := next
		next++
		err = r.verifyObject(ctx, place, f, check)
		switch {
		case err == nil:
			r.result.Verified.Objects++
			r.result.Verified.Bytes += f.Bytes
		case r.DryRun && ctx.Err() == nil:
			r.block("", text.Line(err.Error()), "")
		default:
			return false, err
		}
		done += f.Bytes
		r.tellShare(fmt.Sprintf("verified %d objects, %s of %s", r.result.Verified.Objects, size(r.result.Verified.Bytes), size(total)), done, total)
		return err == nil, nil
	}
	for _, s := range r.copy.Schema {
		_, err := object(s.File, func(data []byte) error {
			raw, err := r.open(ctx, s.Sealed, data)
			if err != nil {
				return err
			}
			if s.Section == manifest.Before {
				r.before = string(raw)
			} else {
				r.after = string(raw)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, t := range r.copy.Tables {
		var digest manifest.Digest
		whole := true
		for _, p := range t.Parts {
			ok, err := object(p.File, func(data []byte) error {
				sum, err := r.verifyPart(ctx, p, data)
				digest.Plus(sum)
				return err
			})
			whole = whole && ok
			if err != nil {
				return err
			}
		}
		if whole && !digest.Equal(t.Digest) {
			problem := fmt.Sprintf("the rows of %s have the digest %s, and %s in the manifest", text.Line(t.String()), digest, t.Digest)
			if !r.DryRun {
				return errors.New(problem)
			}
			r.block("", problem, "")
		}
	}
	for _, f := range r.copy.Files {
		if _, err := object(f, func([]byte) error { return nil }); err != nil {
			return err
		}
	}
	r.lastTold = 0
	if len(r.result.Blockers) == 0 {
		v := r.result.Verified
		r.tell("verified: %d objects, %s, %d rows", v.Objects, size(v.Bytes), v.Rows)
	}
	return nil
}

// verifyObject reads an object, checks it, and keeps it in a file.
func (r *run) verifyObject(ctx context.Context, place int, f manifest.File, check func(data []byte) error) error {
	data, err := r.Bucket.Read(ctx, r.copy.Folder, f)
	if err != nil {
		return err
	}
	if err := check(data); err != nil {
		return fmt.Errorf("%s/%s: %w", r.copy.Folder, f.Key, err)
	}
	return os.WriteFile(r.file(place), data, 0o600)
}

func (r *run) file(place int) string { return filepath.Join(r.dir, strconv.Itoa(place)) }

// verifyPart opens a part and returns the digest of its lines.
func (r *run) verifyPart(ctx context.Context, p manifest.Part, data []byte) (digest manifest.Digest, err error) {
	raw, err := r.open(ctx, p.Sealed, data)
	if err != nil {
		return digest, err
	}
	var rows int64
	for line := range bytes.Lines(raw) {
		digest.Add(bytes.TrimSuffix(line, []byte("\n")))
		rows++
	}
	if rows != p.Rows {
		return digest, fmt.Errorf("%w: it has %d rows, and %d in the manifest", bucket.ErrChanged, rows, p.Rows)
	}
	r.result.Verified.Rows += rows
	return digest, nil
}

// open decrypts and decompresses an object whose bytes were verified.
func (r *run) open(ctx context.Context, s manifest.Sealed, data []byte) ([]byte, error) {
	message, err := cms.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("cannot be decrypted: %w", err)
	}
	key, ok := r.keys[s.Key]
	if !ok {
		if key, err = r.Key.Unwrap(ctx, message.Recipients); err != nil {
			return nil, fmt.Errorf("cannot be decrypted with `private_key` or `unwrap_command`: %w", err)
		}
	}
	packed, err := message.Open(key)
	if err != nil {
		return nil, fmt.Errorf("cannot be decrypted: %w", err)
	}
	raw, err := gunzip(packed, s.RawBytes)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != s.RawSHA256 {
		return nil, fmt.Errorf("%w: the SHA-256 of its content is not that in the manifest", bucket.ErrChanged)
	}
	if !ok {
		r.keys[s.Key] = key
		r.result.Verified.RawBytes += int64(len(raw))
	}
	return raw, nil
}

// gunzip decompresses what must become a number of bytes.
func gunzip(packed []byte, want int64) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: its content is not gzip", bucket.ErrChanged)
	}
	raw, err := io.ReadAll(io.LimitReader(reader, want+1))
	if err != nil {
		return nil, fmt.Errorf("%w: its content cannot be decompressed", bucket.ErrChanged)
	}
	if int64(len(raw)) != want {
		return nil, fmt.Errorf("%w: its content does not have the %d bytes that are in the manifest", bucket.ErrChanged, want)
	}
	return raw, nil
}

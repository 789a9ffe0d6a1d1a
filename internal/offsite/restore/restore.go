// Package restore restores an off-site copy from its bucket into a database, without the
// project that made it.
//
// Everything is verified before anything is written: the chain of manifests, every
// object's digest, and what each encrypted object contains. Then one transaction creates
// the schema, loads the rows, counts and compares them with the manifest, and asks the
// caller's own questions; it is committed only if all of that is as expected.
package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/cms"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Options say what to restore, and where.
type Options struct {
	Bucket *bucket.Bucket
	// Backup is "latest", a time in RFC 3339, or the ID of a backup.
	Backup string
	// ManifestSHA256 is the digest that the manifest must have; empty accepts any.
	ManifestSHA256 string
	// Key opens the objects.
	Key cms.Key
	// DatabaseURL is the target, and Confirm its project reference or, if the URL has
	// none, the name of its database. Confirm is not needed for a dry run.
	DatabaseURL, Confirm string
	// Schema is the name that the schema public of the copy gets. Empty keeps the name.
	Schema string
	// DryRun verifies everything and writes nothing.
	DryRun bool
	// AcceptBrokenChain restores although a backup is missing or damaged.
	AcceptBrokenChain bool
	// CheckSQL are statements that must each return one row with the value true.
	CheckSQL []string
	// Keep commits although one of them did not.
	Keep bool
	// Progress is told how far the restore is.
	Progress func(message string)
}

// The states of a result.
const (
	// Restored: the rows are in the target.
	Restored = "restored"
	// Possible: a dry run has found nothing against a restore.
	Possible = "possible"
	// Blocked: nothing was written, because of the blockers.
	Blocked = "blocked"
	// Failed: the restore began and was rolled back.
	Failed = "failed"
	// Unknown: everything was as expected, and the answer to the commit was lost.
	Unknown = "unknown"
)

// A Result says what was restored, from what, and what was verified.
type Result struct {
	Format     string    `json:"format"`
	State      string    `json:"state"`
	DryRun     bool      `json:"dry_run"`
	Error      string    `json:"error,omitempty"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Seconds    float64   `json:"seconds"`
	Source     *Source   `json:"source"`
	Target     *Target   `json:"target"`
	// Passed are newer backups that were left out because they are not whole.
	Passed   []bucket.Passed  `json:"passed"`
	Breaks   []manifest.Break `json:"chain_breaks"`
	Blockers []Blocker        `json:"blockers"`
	Warnings []string         `json:"warnings"`
	Verified Verified         `json:"verified"`
	// Assertions are what was compared after the rows were loaded.
	Assertions []Assertion           `json:"assertions"`
	LeftOut    []manifest.LeftOut    `json:"left_out"`
	NotCovered []manifest.NotCovered `json:"not_covered"`
}

// Source is the backup.
type Source struct {
	ProjectRef     string    `json:"project_ref"`
	Backup         string    `json:"backup"`
	Destination    string    `json:"destination"`
	BackupID       string    `json:"backup_id"`
	MadeAt         time.Time `json:"made_at"`
	ExportedAt     time.Time `json:"exported_at"`
	Sequence       int64     `json:"sequence"`
	Manifest       string    `json:"manifest"`
	ManifestSHA256 string    `json:"manifest_sha256"`
	ServerVersion  string    `json:"server_version"`
}

// Target is the database.
type Target struct {
	Database      string `json:"database"`
	Project       string `json:"project_ref,omitempty"`
	Role          string `json:"role"`
	ServerVersion string `json:"server_version"`
	Schema        string `json:"schema,omitempty"`
}

// A Blocker is a reason not to restore.
type Blocker struct {
	// Argument is the argument concerned, if there is one.
	Argument string `json:"argument,omitempty"`
	Problem  string `json:"problem"`
	Remedy   string `json:"remedy,omitempty"`
}

// String is one or two sentences.
func (b Blocker) String() string {
	said := text.Sentence(b.Problem)
	if b.Remedy != "" {
		said += " " + text.Sentence(b.Remedy)
	}
	return said
}

// Verified counts what was verified before the restore.
type Verified struct {
	Manifests int   `json:"manifests"`
	Objects   int   `json:"objects"`
	Bytes     int64 `json:"bytes"`
	RawBytes  int64 `json:"raw_bytes"`
	Rows      int64 `json:"rows"`
}

// An Assertion is something that was compared.
type Assertion struct {
	// Subject is what was compared, such as "rows of public.articles".
	Subject  string `json:"subject"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	OK       bool   `json:"ok"`
}

// String says what was expected and found.
func (a Assertion) String() string {
	return fmt.Sprintf("%s: expected %s, found %s", a.Subject, a.Expected, a.Found)
}

// run is one restore.
type run struct {
	Options
	result *Result
	copy   *bucket.Copy
	url    postgres.URL
	target target
	// dir has the verified objects, still encrypted, by their place in the manifest.
	dir string
	// keys are the content keys by the key of the object, so that a command is called
	// once for each.
	keys map[string][]byte
	// before and after are the SQL of the schema.
	before, after string
	lastTold      int
}

// Run restores a backup. It always returns a result that says how far it came, also with
// an error. Nothing is written unless the state is Restored.
func Run(ctx context.Context, options Options) (result *Result, err error) {
	r := &run{Options: options, keys: map[string][]byte{}, result: &Result{
		Format: "aimindset-restore/1", State: Blocked, DryRun: options.DryRun, StartedAt: time.Now().UTC(),
		Passed: []bucket.Passed{}, Breaks: []manifest.Break{}, Blockers: []Blocker{}, Warnings: []string{}, Assertions: []Assertion{},
	}}
	if r.Progress == nil {
		r.Progress = func(string) {}
	}
	defer func() {
		r.result.FinishedAt = time.Now().UTC()
		r.result.Seconds = r.result.FinishedAt.Sub(r.result.StartedAt).Seconds()
		if err != nil {
			r.result.Error = err.Error()
		}
	}()
	return r.result, r.run(ctx)
}

// ErrOutcomeUnknown says that the answer to the commit was lost: either everything was
// restored or nothing.
var ErrOutcomeUnknown = errors.New("the answer to the commit was lost: look at the target, in which either everything is restored or nothing")

// ErrBlocked says that nothing was written, because of the result's blockers.
var ErrBlocked = errors.New("the backup cannot be restored")

func (r *run) run(ctx context.Context) (err error) {
	if r.url, err = postgres.ParseURL(r.DatabaseURL); err != nil {
		return fmt.Errorf("`database_url`: %w", err)
	}
	if err := r.find(ctx); err != nil {
		return err
	}
	session, err := postgres.OpenSession(ctx, r.DatabaseURL)
	switch {
	case err == nil:
		defer func() { _ = session.Close(ctx) }()
		if err := r.inspect(ctx, session); err != nil {
			return fmt.Errorf("look at the target: %w", err)
		}
	case r.DryRun && ctx.Err() == nil:
		r.block("database_url", err.Error(), "")
	default:
		return fmt.Errorf("`database_url`: %w", err)
	}
	if len(r.result.Blockers) > 0 && !r.DryRun {
		return r.blocked()
	}
	if r.dir, err = os.MkdirTemp("", "aimindset-restore-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if err := r.verify(ctx); err != nil {
		return err
	}
	if session != nil {
		r.require()
	}
	if len(r.result.Blockers) > 0 {
		return r.blocked()
	}
	if r.DryRun {
		r.result.State = Possible
		r.tell("verified: the backup can be restored; nothing was written")
		return nil
	}
	r.result.State = Failed
	if err := r.load(ctx, session); err != nil {
		return err
	}
	r.result.State = Restored
	return nil
}

// find reads the manifests, chooses the backup and checks the chain.
func (r *run) find(ctx context.Context) error {
	listing, err := r.Bucket.List(ctx)
	if err != nil {
		return err
	}
	var passed []bucket.Passed
	r.copy, passed, err = listing.Find(r.Backup)
	r.result.Passed = append(r.result.Passed, passed...)
	if err != nil {
		return err
	}
	c := r.copy
	r.result.Source = &Source{
		c.ProjectRef, c.Backup, c.Destination, c.BackupID, c.MadeAt, c.ExportedAt, c.Sequence, c.Key, c.SHA256, text.Line(c.Source.ServerVersion),
	}
	r.result.LeftOut, r.result.NotCovered = c.LeftOut, c.NotCovered
	r.result.Verified.Manifests = len(listing.Copies)
	r.tell("found: backup id %s of %s, %d rows in %d tables, %s", c.BackupID, text.Time(c.MadeAt), c.Rows(), len(c.Tables), size(c.Bytes()))
	for _, p := range passed {
		r.tell("passed over: %s: %s", p.Folder, p.Reason)
	}
	if r.ManifestSHA256 != "" && r.ManifestSHA256 != c.SHA256 {
		r.block("manifest_sha256", fmt.Sprintf("the manifest %s has the SHA-256 %s, and not the one of `manifest_sha256`", c.Key, c.SHA256), "somebody else may have written it. Look in auto_backup.exports of the project, or in what a former restore has recorded")
	}
	r.checkChain(listing)
	return nil
}

// checkChain looks for backups that were removed or damaged.
func (r *run) checkChain(listing *bucket.Listing) {
	byDestination := map[string][]*manifest.Manifest{}
	for _, c := range listing.Copies {
		byDestination[c.Destination] = append(byDestination[c.Destination], c.Manifest)
	}
	damaged := map[string]string{}
	for _, p := range listing.Damaged {
		damaged[p.Folder] = p.Reason
		r.result.Breaks = append(r.result.Breaks, manifest.Break{Folder: p.Folder, Problem: p.Reason})
	}
	for _, destination := range sorted(byDestination) {
		for _, b := range manifest.Chain(byDestination[destination]) {
			if damaged[b.Folder] == "" {
				r.result.Breaks = append(r.result.Breaks, b)
			}
		}
	}
	for _, b := range r.result.Breaks {
		problem := fmt.Sprintf("the chain of backups is broken at %s: %s", b.Folder, b.Problem)
		if r.AcceptBrokenChain {
			r.warn("%s", problem)
			continue
		}
		r.block("accept_broken_chain", problem, "somebody may have removed or changed backups. To restore this one nevertheless, set `accept_broken_chain`")
	}
}

// blocked is the error of a restore that must not begin, with all reasons.
func (r *run) blocked() error {
	reasons := make([]string, len(r.result.Blockers))
	for i, b := range r.result.Blockers {
		reasons[i] = "- " + b.String()
	}
	return fmt.Errorf("%w; nothing was written:\n%s", ErrBlocked, strings.Join(reasons, "\n"))
}

func (r *run) block(argument, problem, remedy string) {
	b := Blocker{argument, problem, remedy}
	if !slices.Contains(r.result.Blockers, b) {
		r.result.Blockers = append(r.result.Blockers, b)
	}
}

func (r *run) warn(format string, args ...any) {
	r.result.Warnings = append(r.result.Warnings, fmt.Sprintf(format, args...))
}

func (r *run) tell(format string, args ...any) { r.Progress(text.Line(fmt.Sprintf(format, args...))) }

// tellShare tells how far something is, at each tenth of it.
func (r *run) tellShare(what string, done, of int64) {
	if of <= 0 {
		return
	}
	if tenth := int(done * 10 / of); tenth > r.lastTold && tenth < 10 {
		r.lastTold = tenth
		r.tell("%s", what)
	}
}

// size writes a number of bytes.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

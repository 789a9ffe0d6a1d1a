package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

func (d *demo) destroy(ctx context.Context, before snapshot) error {
	d.chapter("Without the provider")
	d.tell("What is left when the owner wants none of it any more?")
	d.typed("terraform destroy")
	run, err := d.terraform.Must(ctx, 0, "destroy", "-auto-approve", "-no-color")
	if err != nil {
		return err
	}
	for line := range strings.Lines(run.Output) {
		if strings.HasPrefix(line, "Destroy complete!") {
			d.tell("%s", strings.TrimSpace(line))
		}
	}
	after, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	if before.jobs != after.jobs {
		return fmt.Errorf("cron.job differs from before:\n%s\n%s", before.jobs, after.jobs)
	}
	var rows int64
	if err := d.db.QueryRow(ctx, "select count(*) from public.backup_logs where action_type = 'auto_backup'").Scan(&rows); err != nil {
		return err
	}
	// The log keeps its rows, and a CHECK that refuses them cannot be valid.
	for _, statement := range []string{
		"delete from public.backup_logs where action_type = 'auto_backup'",
		"alter table public.backup_logs validate constraint backup_logs_action_type_check",
	} {
		if _, err := d.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if after, err = d.snapshot(ctx); err != nil {
		return err
	}
	if difference := firstDifference(before.schema, after.schema); difference != "" {
		return fmt.Errorf("the schema differs from before: %s", difference)
	}
	d.gap()
	d.tell("The jobs, the function, the secrets and the schema are gone; the backups and the log stay.\n"+
		"For a DBA: since the log keeps %s rows of automatic backups, its CHECK that knew none is back as\n"+
		"NOT VALID, and without these rows the schema is that of before, byte for byte, says pg_dump.", count(rows))
	return nil
}

// snapshot is what a destroy must not change.
type snapshot struct{ schema, jobs string }

func (d *demo) snapshot(ctx context.Context) (snapshot, error) {
	bin, err := stack.PostgresBin()
	if err != nil {
		return snapshot{}, err
	}
	var dump, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_dump"), "--schema-only", "--dbname", d.stack.AdminDatabaseURL)
	cmd.Stdout, cmd.Stderr = &dump, &complaints
	if err := cmd.Run(); err != nil {
		return snapshot{}, fmt.Errorf("pg_dump: %w: %s", err, complaints.String())
	}
	var jobs string
	if err := d.db.QueryRow(ctx, "select coalesce(jsonb_agg(to_jsonb(j) order by j.jobid), '[]')::text from cron.job j").Scan(&jobs); err != nil {
		return snapshot{}, err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(jobs), "", " "); err != nil {
		return snapshot{}, err
	}
	// Newer releases of pg_dump frame a dump with a key that is new each time.
	return snapshot{schema: withoutLines(dump.String(), `\restrict`, `\unrestrict`), jobs: pretty.String()}, nil
}

// withoutLines drops the lines that begin with one of the words.
func withoutLines(text string, words ...string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		begins := func(word string) bool { return strings.HasPrefix(line, word) }
		if !slices.ContainsFunc(words, begins) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// firstDifference shows where two texts part, or nothing when they are equal.
func firstDifference(before, after string) string {
	left, right := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range max(len(left), len(right)) {
		var a, b string
		if i < len(left) {
			a = left[i]
		}
		if i < len(right) {
			b = right[i]
		}
		if a != b {
			return fmt.Sprintf("line %d was %q and is %q", i+1, a, b)
		}
	}
	return ""
}

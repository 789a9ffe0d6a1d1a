package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

func (d *demo) drift(ctx context.Context) error {
	d.chapter("Other people")
	d.tell("Three changes past Terraform. Each time the plan says in one line what is wrong, and an apply\nputs it right.")
	for _, tampering := range []struct {
		what string
		do   func(context.Context) error
		says string
	}{
		{"In the SQL editor, somebody moves the job to another hour:", d.tamperJob, "has the schedule 0 4 * * * instead of"},
		{"With the Supabase CLI, somebody deploys something else under the function's name:", d.tamperFunction, "the whole function was replaced"},
		{"In the dashboard, somebody overwrites the function's token:", d.tamperSecret, "differs between the vault and the function's secrets"},
	} {
		d.gap()
		d.tell("%s", tampering.what)
		if err := d.repair(ctx, tampering.do, tampering.says); err != nil {
			return err
		}
	}
	return nil
}

// repair changes something, and shows what the plan says of it before an apply puts it
// right.
func (d *demo) repair(ctx context.Context, tamper func(context.Context) error, says string) error {
	if err := tamper(ctx); err != nil {
		return err
	}
	out, err := d.plan(ctx, 2)
	if err != nil {
		return err
	}
	shown := false
	for line := range strings.Lines(out) {
		// A line of the attribute drift: - "what" = "how it differs" -> null
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "- "), " -> null")
		if what, how, found := strings.Cut(line, " = "); found && strings.Contains(how, says) {
			d.tell("  %s: %s", strings.Trim(what, `"`), strings.Trim(how, `"`))
			shown = true
		}
	}
	if !shown {
		return fmt.Errorf("the plan does not say %q:\n%s", says, out)
	}
	if err := d.apply(ctx); err != nil {
		return err
	}
	if _, err := d.plan(ctx, 0); err != nil {
		return fmt.Errorf("after the repair: %w", err)
	}
	return nil
}

func (d *demo) tamperJob(ctx context.Context) error {
	_, err := d.db.Exec(ctx, `select cron.alter_job(jobid, schedule := '0 4 * * *') from cron.job where jobname = 'auto-backup-nightly'`)
	return err
}

func (d *demo) tamperFunction(ctx context.Context) error {
	client, err := d.client()
	if err != nil {
		return err
	}
	_, err = client.DeployFunction(ctx, d.stack.ProjectRef, supabase.Deployment{
		Slug: "auto-backup", Name: "auto-backup", Entrypoint: "auto-backup/index.ts",
		Files: map[string][]byte{"auto-backup/index.ts": []byte(`Deno.serve(() => new Response("not a backup"));`)},
	})
	return err
}

func (d *demo) tamperSecret(ctx context.Context) error {
	client, err := d.client()
	if err != nil {
		return err
	}
	return client.SetSecrets(ctx, d.stack.ProjectRef, map[string]string{"AUTO_BACKUP_TOKEN": "overwritten-by-hand"})
}

// client returns a client for changes outside Terraform.
func (d *demo) client() (*supabase.Client, error) {
	return supabase.New(supabase.Config{BaseURL: d.stack.APIURL, Token: d.stack.AccessToken, UserAgent: "somebody-else"})
}

func (d *demo) drill(ctx context.Context) error {
	d.chapter("Can it be restored?")
	d.tell("What the job auto-backup-drill does on Sundays at 04:30: it restores the newest backup into\n" +
		"temporary tables, compares it with the live ones, and rolls everything back.")
	var text []byte
	// It gives way to a backup that is being made.
	err := d.await(ctx, 3*time.Minute, "the drill", func() (bool, error) {
		if _, err := d.db.Exec(ctx, "select auto_backup.watch('auto-backup')"); err != nil {
			return false, err
		}
		err := d.db.QueryRow(ctx, "select auto_backup.drill('auto-backup', 'manual')").Scan(&text)
		return err == nil && !bytes.Contains(text, []byte(`"skipped"`)), err
	})
	if err != nil {
		return err
	}
	var result struct {
		State, Error string
		Tables       []struct {
			Table       string
			Rows        int64
			Restorable  *bool
			ColumnsLost []struct {
				Name string
				Rows int64
			} `json:"columns_lost"`
		}
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return err
	}
	if result.State != "successful" || len(result.Tables) == 0 {
		return fmt.Errorf("the drill ended with %s", text)
	}
	d.gap()
	missed := 0
	for _, table := range result.Tables {
		if table.Restorable == nil || !*table.Restorable {
			return fmt.Errorf("the table %s cannot be restored: %s", table.Table, text)
		}
		var lost []string
		for _, column := range table.ColumnsLost {
			lost = append(lost, fmt.Sprintf("%s in %s", column.Name, count(column.Rows)))
		}
		missed += len(lost)
		d.tell("  %-10s all %5s rows can be restored, but without %s", strings.TrimPrefix(table.Table, "public."), count(table.Rows), list(lost))
	}
	if missed == 0 {
		return errors.New("the drill says nothing of comments.likes, which the application's function does not copy")
	}
	report, err := d.report(ctx)
	if err != nil {
		return err
	}
	if !strings.Contains(report, "columns_lost") || !strings.Contains(report, "likes") {
		return fmt.Errorf("the status does not have the lost columns:\n%s", report)
	}
	d.gap()
	d.tell("backup_all_data() leaves these columns out, which nobody had noticed. Now the status warns of it;\n" +
		"`drill.require_columns` in the configuration would make it an error.")
	return nil
}

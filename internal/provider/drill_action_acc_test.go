package provider_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const drillAction = "aimindset_auto_backup_drill"

// setDrill gives the backup a restore drill whose job is switched off.
func (p *project) setDrill() {
	p.t.Helper()
	p.sql(`update auto_backup.settings set document = document || '{"drill": {
		"enabled": false, "timeout_seconds": 120, "max_rows": 100000, "overdue_after_seconds": 0, "require_columns": [],
		"tables": [{"live": ["public", "articles"], "copy": ["public", "backup_articles"]}, {"live": ["public", "comments"], "copy": ["public", "backup_comments"]}]
	}}'`)
}

// drillTicks lets the job of a requested drill tick until the test calls the function
// that it returns, as pg_cron 1.5 does every two seconds.
func (p *project) drillTicks() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = p.Admin().Exec(ctx, `begin; set local role postgres; do $$ declare c text; begin
				select substring(command from 'auto_backup.drill_once.*') into c from cron.job where jobname = 'auto-backup-drill_now';
				if c is not null then execute 'select ' || c; end if;
			end $$; commit`)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// TestDrillAction proves over Terraform's protocol, on both transports, what the action
// does: pg_cron itself runs a drill, of which each table's result is told; one that
// finds something wrong or that cannot take place is an error with the reason and the
// remedy; one that is waited for in vain goes on, and the next action waits for it.
func TestDrillAction(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{Articles: 20}, func(t *testing.T, p *project) {
		is := func(diags []*tfprotov6.Diagnostic, summary string, says ...string) {
			t.Helper()
			if len(diags) != 1 || diags[0].Severity != tfprotov6.DiagnosticSeverityError || diags[0].Summary != summary {
				t.Fatalf("got %+v, want %q", diags, summary)
			}
			for _, want := range says {
				if !strings.Contains(diags[0].Detail, want) {
					t.Errorf("%q does not say %q", diags[0].Detail, want)
				}
			}
		}
		told := func(progress []string, patterns ...string) {
			t.Helper()
			if len(progress) != len(patterns) {
				t.Fatalf("it told %q, want %d messages", progress, len(patterns))
			}
			for i, pattern := range patterns {
				if !regexp.MustCompile("^" + pattern + "$").MatchString(progress[i]) {
					t.Errorf("it told %q, want %q", progress[i], pattern)
				}
			}
		}
		id := p.ProjectRef + "/auto-backup"
		_, diags := p.invoke(drillAction, nil)
		is(diags, "The restore drill did not take place", "Apply backup "+id+" first")
		p.install()
		_, diags = p.invoke(drillAction, nil)
		is(diags, "The restore drill did not take place", `backup "auto-backup" has no drill`, "Set the argument drill")

		p.setDrill()
		stop := p.drillTicks()
		_, diags = p.invoke(drillAction, nil)
		is(diags, "The restore drill did not take place", "no restore drill took place, because no backup has succeeded yet.\n\nWait for the first backup, or run one.")
		stop()
		if _, diags := p.invoke(runAction, nil); len(diags) > 0 {
			t.Fatalf("got %+v", diags)
		}

		// pg_cron's own tick.
		progress, diags := p.invoke(drillAction, map[string]any{"project_ref": p.ProjectRef, "name": "auto-backup"})
		if len(diags) > 0 {
			t.Fatalf("got %+v", *diags[0])
		}
		if len(progress) == 5 {
			told(progress[1:2], "running: pg_cron has started the restore drill")
			progress = append(progress[:1], progress[2:]...)
		}
		lost := p.value(`select format('public.comments: %s rows, restorable; columns lost: parent_id (%s %s, constant), likes (%s rows, constant)',
			count(*), count(parent_id), case count(parent_id) when 1 then 'row' else 'rows' end, count(*) filter (where likes <> 0)) from public.comments`)
		told(progress, "requested: restore drill of backup "+id, "public.articles: 20 rows, restorable.*", regexp.QuoteMeta(lost),
			"successful: backup id [0-9a-f-]{36} of .*Z can be restored; the drill took .*")

		// One that is waited for in vain goes on.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		tx, err := p.Admin().Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, "lock table auto_backup.drills in share row exclusive mode"); err != nil {
			t.Fatal(err)
		}
		p.sql("alter table public.articles add lang text not null default 'pt'; alter table public.articles alter lang drop default")
		_, diags = p.invoke(drillAction, map[string]any{"timeout": "3s"})
		is(diags, "The restore drill has not ended yet", "has no result after 3s, and continues in the project", "select * from auto_backup.drill_history('auto-backup') where drill_id > ")
		// The table stays locked until the second action waits: pg_cron may tick before.
		_, stream, diags := p.invokeStream(drillAction, nil)
		if stream == nil {
			t.Fatalf("the second action was refused: %+v", diags)
		}
		progress = nil
		for event := range stream.Events {
			switch event := event.Type.(type) {
			case tfprotov6.ProgressInvokeActionEventType:
				if progress = append(progress, event.Message); len(progress) == 1 {
					if err := tx.Rollback(ctx); err != nil {
						t.Error(err)
					}
					stop = p.drillTicks()
				}
			case tfprotov6.CompletedInvokeActionEventType:
				diags = event.Diagnostics
			}
		}
		stop()
		if !strings.HasPrefix(progress[0], "waiting for the restore drill of backup "+id+" that was requested at 20") {
			t.Errorf("the second action told %q", progress)
		}
		told(progress[len(progress)-3:], `public.articles: 20 rows, not restorable; drill_not_null of lang \(20 rows\).*`, "public.comments: .*", "failed with drill_not_null")
		is(diags, "The backup cannot be restored", "Restore drill of backup "+id+": a column that must not be null has no value in rows of the backup, so they cannot be restored (public.articles: lang (20)).",
			"\n\nGive the column a default, or let the SQL function copy it.")
		if got := p.value("select string_agg(state, ' ' order by drill_id) from auto_backup.drills"); got != "skipped successful failed" {
			t.Errorf("the drills are %s", got)
		}
		if got := p.value("select count(*) from cron.job where jobname = 'auto-backup-drill_now'"); got != "0" {
			t.Errorf("%s jobs are left", got)
		}

		for argument, value := range map[string]string{"project_ref": "short", "name": "Auto Backup", "timeout": "soon"} {
			if _, diags := p.invoke(drillAction, map[string]any{argument: value}); len(diags) != 1 || pathOf(diags[0].Attribute) != argument {
				t.Errorf("%s = %q is reported as %+v", argument, value, diags)
			}
		}
	}, managementAPI, databaseURL)
}

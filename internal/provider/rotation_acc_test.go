package provider_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestRotationLosesNoTick proves that every tick which comes while tokens are
// rotated makes its backup at the first attempt: ticks are fired without a
// pause, through pg_net's worker and the running function, from before the
// first of three rotations until after the last.
func TestRotationLosesNoTick(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 3})
	c := newCLI(t, required+`
		variable "token" { type = string }
		resource "aimindset_auto_backup" "this" {
			rotate_token = var.token
			verify       = "none"
			schedules    = { daily = { cron = "* * * * *" } }
		}`, append(p.Environ(), "TF_VAR_token=0")...)
	c.run(0, "apply", "-auto-approve", "-no-color")

	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		// Each tick is one of another minute, so that each is due.
		for minute := 1; ; minute++ {
			_, err := p.Admin().Exec(t.Context(), `
				select auto_backup.dispatch('auto-backup', 'daily', now() - make_interval(mins => $1))`, minute)
			if err != nil {
				stopped <- fmt.Errorf("tick %d: %w", minute, err)
				return
			}
			// The next one comes when few are under way.
			for running := 5; running > 3; {
				select {
				case <-stop:
					stopped <- nil
					return
				case <-time.After(20 * time.Millisecond):
				}
				err := p.Admin().QueryRow(t.Context(), `
					select count(*) from auto_backup.runs r left join net._http_response n on n.id = r.request_id
					where n.status_code is null and not exists (select from public.backup_logs l where l.id = r.run_id and l.success)`).Scan(&running)
				if err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	const (
		digest  = "select encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex') from vault.decrypted_secrets where name = 'auto-backup/token'"
		answers = "select count(*) from public.backup_logs where action_type = 'auto_backup' and success"
	)
	seen := map[string]bool{p.value(digest): true}
	for i := range 3 {
		before := p.value(answers)
		p.await("true", answers[:len("select ")]+"count(*) > $1::int"+answers[len("select count(*)"):], before)
		c.runWith([]string{fmt.Sprintf("TF_VAR_token=%d", i+1)}, 0, "apply", "-auto-approve", "-no-color")
		seen[p.value(digest)] = true
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4 {
		t.Errorf("three rotations made %d tokens", len(seen)-1)
	}
	p.await("0", `
		select count(*) from auto_backup.runs r
		where not exists (select from public.backup_logs l where l.id = r.run_id and l.success)
		and not exists (select from net._http_response n where n.id = r.request_id and n.status_code <> 202)`)
	if got := p.value(`
		select string_agg(distinct n.status_code || ' ' || coalesce(n.error_msg, '') || left(n.content, 100), '; ')
		from auto_backup.runs r inner join net._http_response n on n.id = r.request_id where n.status_code is distinct from 202`); got != "" {
		t.Errorf("there were other answers than 202: %s", got)
	}
	if got := p.value("select string_agg(distinct trigger || ' ' || attempt, ', ') from auto_backup.runs"); got != "schedule 1" {
		t.Errorf("the runs were %s", got)
	}
	t.Logf("%s ticks, each with its backup", p.value(answers))
}

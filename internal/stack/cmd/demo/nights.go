package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// clock is a time of the database as the time zone of the backup shows it.
const clock = "to_char(%s at time zone '" + zone + "', 'HH24:MI:SS')"

// patience is how long something that a tick starts may take, which comes once a minute.
const patience = 5 * time.Minute

// moveSchedule moves the nightly backup to the next minute, by an apply, and returns when
// it is due, before that.
func (d *demo) moveSchedule(ctx context.Context) (due time.Time, err error) {
	defer d.during("applying")()
	for range 10 {
		var cron string
		if err := d.db.QueryRow(ctx, `
			select due, to_char(due at time zone '`+zone+`', 'FMMI FMHH24') || ' * * *'
			from (select date_trunc('minute', clock_timestamp() + interval '70 seconds') as due) as next`).Scan(&due, &cron); err != nil {
			return due, err
		}
		if err := os.WriteFile(filepath.Join(d.terraform.Dir, "terraform.tfvars"), []byte(fmt.Sprintf("cron = %q\n", cron)), 0o600); err != nil {
			return due, err
		}
		if _, err := d.terraform.Must(ctx, 0, "apply", "-auto-approve", "-no-color"); err != nil {
			return due, err
		}
		var early bool
		if err := d.db.QueryRow(ctx, "select clock_timestamp() < $1", due).Scan(&early); err != nil || early {
			return due, err
		}
	}
	return due, errors.New("this machine is too slow: each apply took longer than a minute")
}

func (d *demo) night(ctx context.Context) error {
	d.chapter("A night")
	d.tell("Nobody wants to wait for 03:00, so an apply moves the backup to the next minute.")
	due, err := d.moveSchedule(ctx)
	if err != nil {
		return err
	}
	var id, made string
	var records int64
	err = d.await(ctx, patience, "pg_cron's tick and the backup", func() (bool, error) {
		err := d.db.QueryRow(ctx, `
			select context ->> 'backup_id', (context ->> 'total_records')::bigint, `+fmt.Sprintf(clock, "created_at")+`
			from public.system_logs where type = 'auto_backup' and created_at >= $1 order by id desc limit 1`, due).Scan(&id, &records, &made)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	var tick string
	if err := d.db.QueryRow(ctx, `
		select `+fmt.Sprintf(clock, "r.start_time")+` from cron.job_run_details r
		inner join cron.job j on j.jobid = r.jobid and j.jobname = 'auto-backup-nightly' and r.status = 'succeeded' order by r.runid desc limit 1`).Scan(&tick); err != nil {
		return fmt.Errorf("the tick of pg_cron: %w", err)
	}
	var copied []string
	for _, table := range siteTables {
		var rows, live int64
		query := fmt.Sprintf("select (select count(*) from public.%s where backup_id = $1), (select count(*) from public.%s)",
			pgx.Identifier{"backup_" + table}.Sanitize(), pgx.Identifier{table}.Sanitize())
		if err := d.db.QueryRow(ctx, query, id).Scan(&rows, &live); err != nil {
			return err
		}
		if rows == 0 || rows != live {
			return fmt.Errorf("the backup holds %d of %d %s", rows, live, table)
		}
		copied = append(copied, count(rows)+" "+table)
	}
	d.gap()
	d.tell("%s  pg_cron starts the job, and the database calls the Edge Function\n%s  the backup is made and logged: %s, %s rows in all", tick, made, list(copied), count(records))
	return nil
}

// invent writes a month of nights into the run history, which forget removes.
const (
	invent = `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id, records, tick, code, error)
		select 'auto-backup', 'nightly', case when late then 'catch_up' when attempt > 1 then 'retry' else 'schedule' end, due, attempt, state, due + delay, due + delay,
			due + delay + interval '9 seconds', case state when 'succeeded' then gen_random_uuid() end, case state when 'succeeded' then 1400 - night end,
			case when late then 'invented' end, case state when 'failed' then 'backup_failed' end, case state when 'failed' then 'invented' end
		from generate_series(1, 26) as night,
			lateral (select night in (12) as late, ((current_timestamp at time zone $1)::date - night + time '03:00') at time zone $1 as due) as d,
			lateral (values (1, case when night in (5, 17) then 'failed' else 'succeeded' end, case when night = 12 then interval '40 minutes' else interval '0' end)
				union all select 2, case night when 5 then 'succeeded' else 'failed' end, interval '10 minutes' where night in (5, 17)) as a (attempt, state, delay)`
	forget = "delete from auto_backup.runs where requested_at < now() - interval '20 hours'"
)

func (d *demo) status(ctx context.Context) error {
	d.chapter("The morning after")
	d.tell("A pipeline, or anybody with a token that may only read, asks the data source\n" +
		"aimindset_auto_backup_status. (So that its calendar has something to show, the 26 nights before\n" +
		"this one have been invented, with a failure among them.)")
	if _, err := d.db.Exec(ctx, invent, zone); err != nil {
		return fmt.Errorf("invent nights: %w", err)
	}
	d.typed("terraform output -raw report")
	report, err := d.report(ctx)
	if err != nil {
		return err
	}
	if !strings.Contains(report, " is healthy") || strings.Count(report, "+") < 24 {
		return fmt.Errorf("the report is\n%s", report)
	}
	d.tell("%s", report)
	return nil
}

// report returns the status as Markdown without its marks, after the watchdog has looked.
func (d *demo) report(ctx context.Context) (string, error) {
	defer d.during("reading the status")()
	// The job of the watchdog runs every ten minutes.
	if _, err := d.db.Exec(ctx, "select auto_backup.watch('auto-backup')"); err != nil {
		return "", err
	}
	if _, err := d.reader.Must(ctx, 0, "apply", "-auto-approve", "-no-color"); err != nil {
		return "", err
	}
	run, err := d.reader.Must(ctx, 0, "output", "-raw", "report")
	if err != nil {
		return "", err
	}
	text := strings.NewReplacer("\n```text\n", "\n", "\n```", "", "**", "", "`", "").Replace(run.Output)
	return strings.TrimSpace(text), nil
}

func (d *demo) failure(ctx context.Context) error {
	d.chapter("A night that fails")
	d.tell("A migration renames a column that backup_all_data() reads. The next night is again moved to\nthe next minute.")
	if _, err := d.db.Exec(ctx, "alter table public.articles rename column title to headline"); err != nil {
		return err
	}
	mails := len(d.stack.Emails())
	due, err := d.moveSchedule(ctx)
	if err != nil {
		return err
	}
	var message, details, logged string
	err = d.await(ctx, patience, "pg_cron's tick and the failure", func() (bool, error) {
		err := d.db.QueryRow(ctx, `
			select message, context::text, `+fmt.Sprintf(clock, "created_at")+` from public.system_logs
			where type = 'auto_backup_error' and created_at >= $1 and context -> 'alert' ->> 'state' <> 'pending' order by id desc limit 1`, due).Scan(&message, &details, &logged)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	if err := d.await(ctx, time.Minute, "the e-mail", func() (bool, error) { return len(d.stack.Emails()) > mails, nil }); err != nil {
		return fmt.Errorf("%w; the log says %s", err, details)
	}
	var to, subjects []string
	for _, mail := range d.stack.Emails()[mails:] {
		to = append(to, mail.To)
		if !slices.Contains(subjects, mail.Subject) {
			subjects = append(subjects, mail.Subject)
		}
	}
	d.gap()
	d.tell("%s  the admin panel's log says:\n          %s\n          and %s have an e-mail:\n          %s", logged, message, list(to), strings.Join(subjects, "\n          "))
	var claimed int
	if err := d.db.QueryRow(ctx, `
		select count(*) from public.backup_logs b inner join public.system_logs s on s.context ->> 'run_id' = b.id::text
		where s.type = 'auto_backup_error' and b.success`).Scan(&claimed); err != nil {
		return err
	}
	if claimed > 0 {
		return errors.New("a failed backup left a row that claims success")
	}
	report, err := d.report(ctx)
	if err != nil {
		return err
	}
	verdict, _, _ := strings.Cut(report, "\n")
	_, problems, found := strings.Cut(report, "\nProblems\n")
	if !found || !strings.Contains(verdict, "failing") || !strings.Contains(problems, "What to do:") {
		return fmt.Errorf("the report is\n%s", report)
	}
	d.gap()
	d.tell("The status says what happened, what comes next, and what to do:")
	d.gap()
	d.tell("%s", verdict)
	d.tell("%s", wrapped(strings.ReplaceAll(strings.TrimSpace(problems), "*", ""), 96))
	return d.mend(ctx)
}

// mend takes the column's new name back, and makes a backup at once.
func (d *demo) mend(ctx context.Context) error {
	if _, err := d.db.Exec(ctx, forget); err != nil {
		return err
	}
	if _, err := d.db.Exec(ctx, "alter table public.articles rename column headline to title"); err != nil {
		return err
	}
	d.gap()
	d.tell("The column gets its name back. The watchdog would try again by itself; who wants to know it now,\nruns in the SQL editor:")
	d.gap()
	d.tell("=> select auto_backup.run_now('auto-backup');")
	if _, err := d.db.Exec(ctx, "select auto_backup.run_now('auto-backup')"); err != nil {
		return err
	}
	err := d.await(ctx, patience, "the backup", func() (found bool, err error) {
		err = d.db.QueryRow(ctx, "select exists (select from auto_backup.history h where h.trigger = 'manual' and h.state = 'succeeded')").Scan(&found)
		return found, err
	})
	if err != nil {
		return err
	}
	report, err := d.report(ctx)
	if err != nil {
		return err
	}
	verdict, _, _ := strings.Cut(report, "\n")
	if !strings.Contains(verdict, " is healthy") {
		return fmt.Errorf("after the repair, the report is\n%s", report)
	}
	d.tell("%s", verdict)
	return nil
}

// wrapped breaks lines that are longer than a width.
func wrapped(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		column := 0
		for _, word := range strings.Fields(line) {
			length := len([]rune(word))
			switch {
			case column == 0:
				b.WriteString(indent)
				column = len(indent)
			case column+1+length > width:
				indent = strings.Repeat(" ", 3)
				b.WriteString("\n" + indent)
				column = len(indent)
			default:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += length
		}
		b.WriteByte('\n')
	}
	return b.String()
}

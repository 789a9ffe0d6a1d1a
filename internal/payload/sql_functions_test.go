package payload_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestSQLFunctions calls the dispatcher's SQL functions one by one, on one stack.
// TestDispatcherSQL proves what they do together.
func TestSQLFunctions(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	t.Run("judge", tdb.testJudge)
	t.Run("steps", tdb.testSteps)
	t.Run("one asks at a time", tdb.testOneAsksAtATime)
	t.Run("constraint of the log", tdb.testLogConstraint)
	t.Run("the last leaves", tdb.testLastLeaves)
}

// judged is the run of testJudge.
const judged = "11111111-2222-3333-4444-555555555555"

// judgeCases are what a run can come to. Times of the run and of judge.at are
// those of a clock that is one hour ahead of the real one, by which the answer
// and the logs are dated: the run was requested at 06:00, which was 05:00.
var judgeCases = []struct {
	name string
	// run changes the run that was requested at 06:00.
	run                    string
	answer, logRow, events string
	unreadable             bool
	at                     string
	want                   string
}{
	{
		name:   "row of a success",
		logRow: `{"success":true,"records":7,"details":"Backup automático ID: 5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11 - Total: 7","at":"2026-03-02T05:00:20Z"}`,
		at:     "2 06:03",
		want:   `{"state":"succeeded","finished_at":"2026-03-02T06:03:00+00:00","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":"7","logged_by":"function"}`,
	},
	{
		name:   "row and event of a success",
		logRow: `{"success":true,"records":7,"details":"x"}`,
		events: `{"auto_backup":{"at":"2026-03-02T05:00:30Z","context":{"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","total_records":9}}}`,
		at:     "2 06:03",
		want:   `{"state":"succeeded","finished_at":"2026-03-02T06:00:30+00:00","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":"7","logged_by":"function"}`,
	},
	{
		name:   "event of a success, and a row that was begun, before twelve minutes",
		logRow: `{"success":false,"records":0,"details":"Backup automático iniciado","at":"2026-03-02T05:00:01Z"}`,
		events: `{"auto_backup":{"at":"2026-03-02T05:00:30Z","context":{"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","total_records":9}}}`,
		at:     "2 06:11:59",
		want:   `{"state":"running"}`,
	},
	{
		name:   "event of a success, and a row that was begun, after twelve minutes",
		logRow: `{"success":false,"records":0,"details":"Backup automático iniciado","at":"2026-03-02T05:00:01Z"}`,
		events: `{"auto_backup":{"at":"2026-03-02T05:00:30Z","context":{"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","total_records":9}}}`,
		at:     "2 06:12",
		want:   `{"state":"succeeded","finished_at":"2026-03-02T06:00:30+00:00","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":"9","logged_by":"function"}`,
	},
	{
		name:   "events of a success and of a failure",
		events: `{"auto_backup":{"at":"2026-03-02T05:00:30Z"},"auto_backup_error":{"at":"2026-03-02T05:00:40Z","context":{"code":"internal","error":"a<b","sqlstate":"42501"}}}`,
		at:     "2 06:20",
		want:   `{"state":"failed","finished_at":"2026-03-02T06:00:40+00:00","code":"internal","error":"a‹b","sqlstate":"42501","logged_by":"function","function_alert":null}`,
	},
	{
		name:   "answer with a success",
		answer: `{"state":"answered","status":200,"at":"2026-03-02T05:01:00Z","body":{"run_id":"` + judged + `","success":true,"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","total_records":5}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:01:00+00:00","http_status":200,"state":"succeeded","finished_at":"2026-03-02T06:01:00+00:00","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":"5","logged_by":null}`,
	},
	{
		name:   "a success that ended after now, with what no number can be",
		answer: `{"state":"answered","status":200,"at":"2026-03-02T05:09:00Z","body":{"run_id":"` + judged + `","success":true,"backup_id":"none","total_records":1234567890123456789}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:03:00+00:00","http_status":200,"state":"succeeded","finished_at":"2026-03-02T06:03:00+00:00","backup_id":null,"records":null,"logged_by":null}`,
	},
	{
		name:   "a success that ended before the request",
		logRow: `{"success":true,"records":7,"details":"x"}`,
		events: `{"auto_backup":{"at":"2026-03-02T04:59:00Z"}}`,
		at:     "2 06:03",
		want:   `{"state":"succeeded","finished_at":"2026-03-02T06:00:00+00:00","backup_id":null,"records":"7","logged_by":"function"}`,
	},
	{
		name:   "event of a failure with its alert",
		events: `{"auto_backup_error":{"at":"2026-03-02T05:02:00Z","context":{"error":"motivo","alert":{"state":"delivered","emails_sent":2,"emails_failed":0}}}}`,
		at:     "2 06:03",
		want:   `{"state":"failed","finished_at":"2026-03-02T06:02:00+00:00","code":"function_failed","error":"motivo","logged_by":"function","function_alert":"delivered"}`,
	},
	{
		name:   "event of a failure whose alert reached some",
		events: `{"auto_backup_error":{"at":"2026-03-02T05:09:00Z","context":{"code":"c","alert":{"state":"not_delivered","emails_sent":1,"emails_failed":1}}}}`,
		at:     "2 06:03",
		want:   `{"state":"failed","finished_at":"2026-03-02T06:03:00+00:00","code":"c","error":null,"logged_by":"function","function_alert":"partly"}`,
	},
	{
		name:   "event of a failure whose alert reached nobody",
		events: `{"auto_backup_error":{"at":"2026-03-02T04:00:00Z","context":{"code":"c","alert":{"state":"not_delivered","emails_sent":0,"emails_failed":1}}}}`,
		at:     "2 06:03",
		want:   `{"state":"failed","finished_at":"2026-03-02T06:00:00+00:00","code":"c","error":null,"logged_by":"function","function_alert":"not_delivered"}`,
	},
	{
		name:   "event of a failure whose alert was reported in the row",
		logRow: `{"success":false,"details":"Backup automático falhou: x (alerta enviado)"}`,
		events: `{"auto_backup_error":{"at":"2026-03-02T05:02:00Z","context":{"code":"c","alert":{"state":"pending"}}}}`,
		at:     "2 06:03",
		want:   `{"state":"failed","finished_at":"2026-03-02T06:02:00+00:00","code":"c","error":null,"logged_by":"function","function_alert":"delivered"}`,
	},
	{
		name:   "answer with a failure",
		answer: `{"state":"answered","status":500,"code":"log_rejected","at":"2026-03-02T05:01:00Z","body":{"run_id":"` + judged + `","success":false,"code":"log_rejected","error":"a\nb","alert":{"state":"delivered","emails_sent":1,"emails_failed":0}}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:01:00+00:00","http_status":500,"http_error":"log_rejected","finished_at":"2026-03-02T06:01:00+00:00","state":"failed","code":"log_rejected","error":"a b","function_alert":"delivered"}`,
	},
	{
		name:   "answer with a failure whose alert reached some",
		answer: `{"state":"answered","status":500,"at":"2026-03-02T05:09:00Z","body":{"run_id":"` + judged + `","success":false,"code":"c","alert":{"state":"not_delivered","emails_sent":1,"emails_failed":3}}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:03:00+00:00","http_status":500,"finished_at":"2026-03-02T06:03:00+00:00","state":"failed","code":"c","error":null,"function_alert":"partly"}`,
	},
	{
		name:   "answer with a failure whose alert reached nobody, from before the request",
		answer: `{"state":"answered","status":500,"at":"2026-03-02T04:59:55Z","body":{"run_id":"` + judged + `","success":false,"code":"c","alert":{"state":"not_delivered","emails_sent":0,"emails_failed":3}}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T05:59:55+00:00","http_status":500,"finished_at":"2026-03-02T06:00:00+00:00","state":"failed","code":"c","error":null,"function_alert":"not_delivered"}`,
	},
	{
		name:   "answer with the failure of another run",
		answer: `{"state":"answered","status":500,"code":"c","at":"2026-03-02T05:01:00Z","body":{"run_id":"x","success":false,"code":"c"}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:01:00+00:00","http_status":500,"http_error":"c","finished_at":"2026-03-02T06:01:00+00:00","state":"failed","code":"http_500","error":"HTTP 500, c"}`,
	},
	{
		name:   "row of a failure, before five minutes",
		logRow: `{"success":false,"details":"Backup automático falhou: x","at":"2026-03-02T05:00:01Z"}`,
		answer: `{"state":"answered","status":202,"at":"2026-03-02T05:00:02Z"}`,
		at:     "2 06:04:59",
		want:   `{"answered_at":"2026-03-02T06:00:02+00:00","http_status":202,"state":"running"}`,
	},
	{
		name:   "row of a failure, after five minutes",
		logRow: `{"success":false,"details":"Backup automático falhou: sem (espaço) (alerta enviado só a uma parte dos assinantes)","at":"2026-03-02T05:00:01Z"}`,
		at:     "2 06:05",
		want:   `{"finished_at":"2026-03-02T06:05:00+00:00","state":"failed","code":"function_failed","error":"sem (espaço)","function_alert":"partly"}`,
	},
	{
		name:   "row of an interruption",
		logRow: `{"success":false,"details":"Backup automático interrompido: tempo","at":"2026-03-02T05:00:01Z"}`,
		at:     "2 06:05",
		want:   `{"finished_at":"2026-03-02T06:05:00+00:00","state":"failed","code":"interrupted","error":"tempo","function_alert":null}`,
	},
	{
		name:   "row that was begun late, before its twelve minutes",
		logRow: `{"success":false,"details":"Backup automático iniciado","at":"2026-03-02T05:14:00Z"}`,
		at:     "2 06:25:59",
		want:   `{"state":"running"}`,
	},
	{
		name:   "row that was begun late, after its twelve minutes",
		logRow: `{"success":false,"details":"Backup automático iniciado","at":"2026-03-02T05:14:00Z"}`,
		at:     "2 06:26",
		want:   `{"finished_at":"2026-03-02T06:26:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "request that was sent late, before its twelve minutes",
		answer: `{"state":"answered","status":202,"at":"2026-03-02T05:15:00Z","body":{"run_id":"` + judged + `","success":null}}`,
		at:     "2 06:26:59",
		want:   `{"answered_at":"2026-03-02T06:15:00+00:00","http_status":202,"state":"running"}`,
	},
	{
		name:       "request that was sent late, after its twelve minutes, with logs that cannot be read",
		answer:     `{"state":"answered","status":202,"at":"2026-03-02T05:15:00Z","body":{"run_id":"` + judged + `","success":null}}`,
		unreadable: true,
		at:         "2 06:27",
		want:       `{"answered_at":"2026-03-02T06:15:00+00:00","http_status":202,"finished_at":"2026-03-02T06:27:00+00:00","state":"failed","code":"log_unreadable"}`,
	},
	{
		name:   "row that somebody has dated after now",
		logRow: `{"success":false,"details":"Backup automático iniciado","at":"2036-03-02T05:20:00Z"}`,
		at:     "2 06:12",
		want:   `{"finished_at":"2026-03-02T06:12:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "row that somebody dates again and again",
		logRow: `{"success":false,"details":"Backup automático iniciado","at":"2026-03-02T05:17:00Z"}`,
		at:     "2 06:18",
		want:   `{"finished_at":"2026-03-02T06:18:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "run that a wrong clock has answered after now",
		run:    `{"state":"running","answered_at":"2036-03-02T06:10:00Z"}`,
		answer: `{"state":"gone"}`,
		at:     "2 06:12",
		want:   `{"finished_at":"2026-03-02T06:12:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "run that was answered late, whose answer is forgotten",
		run:    `{"state":"running","answered_at":"2026-03-02T06:10:00Z"}`,
		answer: `{"state":"gone"}`,
		at:     "2 06:21:59",
		want:   `{"state":"running"}`,
	},
	{
		name:   "run that was answered late, after its twelve minutes",
		run:    `{"state":"running","answered_at":"2026-03-02T06:10:00Z"}`,
		answer: `{"state":"gone"}`,
		at:     "2 06:22",
		want:   `{"finished_at":"2026-03-02T06:22:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "running since its request",
		run:    `{"state":"running"}`,
		answer: `{"state":"gone"}`,
		at:     "2 06:12",
		want:   `{"finished_at":"2026-03-02T06:12:00+00:00","state":"failed","code":"interrupted"}`,
	},
	{
		name:   "duplicate",
		answer: `{"state":"answered","status":409,"code":"duplicate","at":"2026-03-02T05:00:01Z","body":{"run_id":"` + judged + `","success":false,"code":"duplicate"}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:00:01+00:00","http_status":409,"http_error":"duplicate","state":"running"}`,
	},
	{
		name:   "another conflict",
		answer: `{"state":"answered","status":409,"code":"conflict","ours":false,"at":"2026-03-02T05:00:01Z"}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:00:01+00:00","http_status":409,"http_error":"conflict","finished_at":"2026-03-02T06:00:01+00:00","state":"failed","code":"http_409","error":"HTTP 409, conflict"}`,
	},
	{
		name:   "another duplicate",
		answer: `{"state":"answered","status":410,"code":"duplicate","ours":false,"at":"2026-03-02T05:00:01Z"}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:00:01+00:00","http_status":410,"http_error":"duplicate","finished_at":"2026-03-02T06:00:01+00:00","state":"failed","code":"http_410","error":"HTTP 410, duplicate"}`,
	},
	{
		name:   "another run's 202",
		answer: `{"state":"answered","status":202,"at":"2026-03-02T05:00:01Z","body":{"run_id":"x","success":null}}`,
		at:     "2 06:03",
		want:   `{"answered_at":"2026-03-02T06:00:01+00:00","http_status":202,"finished_at":"2026-03-02T06:00:01+00:00","state":"failed","code":"unexpected_answer","error":"HTTP 202"}`,
	},
	{
		name:   "timeout, before five minutes",
		answer: `{"state":"answered","error":"Timeout","timed_out":true,"at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:04:59",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_error":"Timeout","state":"requested"}`,
	},
	{
		name:   "timeout, after five minutes",
		answer: `{"state":"answered","error":"Timeout","timed_out":true,"at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:05",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_error":"Timeout","finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"timeout","error":"Timeout"}`,
	},
	{
		name:   "unreachable",
		answer: `{"state":"answered","error":"refused","timed_out":false,"at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:01",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_error":"refused","finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"unreachable","error":"refused"}`,
	},
	{
		name:   "the last status that is no answer of the platform's",
		answer: `{"state":"answered","status":299,"ours":true,"code":"c","at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:01",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_status":299,"finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"unexpected_answer","error":"HTTP 299, c"}`,
	},
	{
		name:   "the first status that is one, and the last whose code is not kept",
		answer: `{"state":"answered","status":300,"ours":false,"code":"c","at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:01",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_status":300,"finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"http_300","error":"HTTP 300, c"}`,
	},
	{
		name:   "the first status whose code is kept",
		answer: `{"state":"answered","status":400,"ours":true,"code":"bad_request","at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:01",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_status":400,"http_error":"bad_request","finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"bad_request","error":"HTTP 400, bad_request"}`,
	},
	{
		name:   "the function's answer without a code",
		answer: `{"state":"answered","status":500,"ours":true,"code":null,"at":"2026-03-02T05:00:10Z"}`,
		at:     "2 06:01",
		want:   `{"answered_at":"2026-03-02T06:00:10+00:00","http_status":500,"finished_at":"2026-03-02T06:00:10+00:00","state":"failed","code":"http_500","error":"HTTP 500"}`,
	},
	{name: "gone, before five minutes", answer: `{"state":"gone"}`, at: "2 06:04:59", want: `{"state":"requested"}`},
	{name: "gone, after five minutes", answer: `{"state":"gone"}`, at: "2 06:05", want: `{"finished_at":"2026-03-02T06:05:00+00:00","state":"failed","code":"no_answer","error":null}`},
	{name: "queued, before twelve minutes", answer: `{"state":"queued"}`, at: "2 06:11:59", want: `{"state":"requested"}`},
	{name: "queued, after twelve minutes", answer: `{"state":"queued"}`, at: "2 06:12", want: `{"finished_at":"2026-03-02T06:12:00+00:00","state":"failed","code":"not_sent","error":null}`},
	{name: "unknown, before twelve minutes", answer: `{"state":"unknown","error":"e"}`, at: "2 06:11:59", want: `{"state":"requested"}`},
	{name: "unknown, after twelve minutes", answer: `{"state":"unknown","error":"e"}`, at: "2 06:12", want: `{"finished_at":"2026-03-02T06:12:00+00:00","state":"failed","code":"no_answer","error":"e"}`},
}

// testJudge proves what each state of answer and logs means for a run, on both
// sides of every limit of time and number.
func (tdb *testDatabase) testJudge(t *testing.T) {
	orNull := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	for _, c := range judgeCases {
		t.Run(c.name, func(t *testing.T) {
			run := `{"run_id":"` + judged + `","backup":"b","schedule":"daily","trigger":"schedule","due_at":"2026-03-02T06:00:00Z","attempt":1,"state":"requested",` +
				`"requested_at":"2026-03-02T06:00:00Z","posted_at":"2026-03-02T05:00:00Z"}`
			if c.run == "" {
				c.run = "{}"
			}
			if c.answer == "" {
				c.answer = `{"state":"gone"}`
			}
			got := one[string](t, tdb.owner, `
				select jsonb_strip_nulls(auto_backup.judge(
					jsonb_populate_record(null::auto_backup.runs, $1::text::jsonb || $2::text::jsonb), $3::text::jsonb, $4::text::jsonb, $5::text::jsonb, $6, $7
				))::text`,
				run, c.run, c.answer, orNull(c.logRow), orNull(c.events), !c.unreadable, moment(t, c.at))
			want := one[string](t, tdb.owner, `select jsonb_strip_nulls($1::text::jsonb)::text`, c.want)
			if got != want {
				t.Errorf("the verdict is\n  %s\nwant\n  %s", got, want)
			}
		})
	}
}

// testOneAsksAtATime proves that somebody who asks for a run waits for another
// one who is asking, and so finds that one's run.
func (tdb *testDatabase) testOneAsksAtATime(t *testing.T) {
	ctx := t.Context()
	s := tdb.newScenario(t)
	err := pgx.BeginFunc(ctx, tdb.owner, func(first pgx.Tx) error {
		if _, err := first.Exec(ctx, `select auto_backup.run_now($1)`, s.backup); err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, tdb.owner, func(second pgx.Tx) error {
			// Waiting ends only by this limit, however slow the machine is.
			if _, err := second.Exec(ctx, `set local statement_timeout = '300ms'`); err != nil {
				return err
			}
			_, err := second.Exec(ctx, `select auto_backup.run_now($1)`, s.backup)
			var canceled *pgconn.PgError
			if !errors.As(err, &canceled) || canceled.Code != "57014" {
				t.Errorf("the second does not wait for the first: %v", err)
			}
			return nil
		})
	})
	if err != nil && !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Fatal(err)
	}
	if got := one[string](t, tdb.owner, `select (auto_backup.run_now($1) -> 'joined')::text`, s.backup); got != "true" {
		t.Error("the second gets a run of its own")
	}
	if runs := one[int](t, tdb.owner, `select count(*) from auto_backup.runs where backup = $1`, s.backup); runs != 1 {
		t.Errorf("there are %d runs, want 1", runs)
	}
}

// What a CHECK of backup_logs says in each state.
const (
	narrow      = `CHECK (((action_type)::text = ANY ((ARRAY['backup'::character varying, 'restore'::character varying])::text[])))`
	wide        = `CHECK ((((action_type)::text = ANY (ARRAY[('backup'::character varying)::text, ('restore'::character varying)::text])) OR ((action_type)::text = 'auto_backup'::text))) NOT VALID`
	other       = `CHECK (((action_type)::text <> 'auto_backup'::text))`
	otherWide   = `CHECK ((((action_type)::text <> 'auto_backup'::text) OR ((action_type)::text = 'auto_backup'::text))) NOT VALID`
	widthOfText = `CHECK ((length(details) < 500))`
)

// testLogConstraint proves which CHECKs of backup_logs are extended for an
// installation, into what, and how they are put back.
func (tdb *testDatabase) testLogConstraint(t *testing.T) {
	// A role that owns the table can put any code there between a plan and its apply.
	const spy = `create function public.spy(text) returns boolean language plpgsql as 'begin raise exception ''this runs as %'', current_user; end'; `
	const inserted = `insert into public.backup_logs (action_type, records_affected, details, success) values ('auto_backup', 0, 'x', false)`
	for _, c := range []struct {
		name     string
		before   string // statements before the extension
		refusing string
		extended string
		between  string // statements before the restoration
		unsure   string // what cannot be checked
		restored string
	}{
		{"the application's", "", `["a"]`, "a " + wide, "", "[]", "a " + narrow},
		{"another name is meant", "", `["b"]`, "a " + narrow, "", "[]", "a " + narrow},
		{"one of two", `alter table public.backup_logs add constraint b check (action_type <> 'auto_backup')`, `["a"]`, "a " + wide + " | b " + other, "", "[]", "a " + narrow + " | b " + other},
		{"both", `alter table public.backup_logs add constraint b check (action_type <> 'auto_backup')`, `["a", "b"]`, "a " + wide + " | b " + otherWide, "", "[]", "a " + narrow + " | b " + other},
		{"one that does not refuse", `alter table public.backup_logs add constraint b check (length(details) < 500)`, `["a", "b"]`, "a " + wide + " | b " + widthOfText, "", "[]", "a " + narrow + " | b " + widthOfText},
		{"one that is neither true nor false", `alter table public.backup_logs add constraint b check (action_type <> null)`, `["b"]`, "a " + narrow + " | b CHECK (((action_type)::text <> NULL::text))", "", "[]", "a " + narrow + " | b CHECK (((action_type)::text <> NULL::text))"},
		{"a constraint of another kind", `alter table public.backup_logs add constraint b unique (id, action_type)`, `["b"]`, "a " + narrow + " | b UNIQUE (id, action_type)", "", "[]", "a " + narrow + " | b UNIQUE (id, action_type)"},
		{"a constraint of another table", `create table public.logs (action_type text constraint b check (action_type <> 'auto_backup'))`, `["b"]`, "a " + narrow, "", "[]", "a " + narrow},
		{"one that runs code of others", spy + `alter table public.backup_logs add constraint b check (public.spy(action_type))`, `["a", "b"]`, "a " + wide + " | b CHECK (spy((action_type)::text))", "", "[]", "a " + narrow + " | b CHECK (spy((action_type)::text))"},
		{"a column that runs code of others", spy + `create domain public.spied as text check (public.spy(value)); alter table public.backup_logs add column d public.spied`, `["a"]`, "a " + narrow, "", "[]", "a " + narrow},
		{"twice", `select auto_backup.extend_log_constraint('["a"]')`, `["a"]`, "a " + wide, "", "[]", "a " + narrow},
		{"rows that the old rule refuses", "", `["a"]`, "a " + wide, inserted, `["a"]`, "a " + narrow + " NOT VALID"},
		{"dropped in between", "", `["a"]`, "a " + wide, `alter table public.backup_logs drop constraint a`, "[]", "a " + narrow},
		{"the table is gone", "", `["a"]`, "a " + wide, `drop table public.backup_logs cascade`, "[]", "null"},
		{
			"a column of another type", `alter table public.backup_logs drop constraint a; alter table public.backup_logs alter column action_type type text; alter table public.backup_logs add constraint a check (action_type in ('backup', 'restore'))`,
			`["a"]`, "a CHECK (((action_type = ANY (ARRAY['backup'::text, 'restore'::text])) OR (action_type = 'auto_backup'::text))) NOT VALID", "", "[]",
			"a CHECK ((action_type = ANY (ARRAY['backup'::text, 'restore'::text])))",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			tx, err := tdb.admin.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(ctx) }()
			do := func(sql string) {
				t.Helper()
				if _, err := tx.Exec(ctx, sql); err != nil {
					t.Fatalf("%v\nin: %s", err, sql)
				}
			}
			read := func(sql string) string {
				t.Helper()
				var got *string
				if err := tx.QueryRow(ctx, sql).Scan(&got); err != nil {
					t.Fatalf("%v\nin: %s", err, sql)
				}
				if got == nil {
					return "null"
				}
				return *got
			}
			const rules = `select string_agg(conname || ' ' || pg_get_constraintdef(oid), ' | ' order by conname) from pg_constraint where conrelid = to_regclass('public.backup_logs') and conname in ('a', 'b')`
			do(`select auto_backup.restore_log_constraint(); delete from public.backup_logs;
				alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint a check (action_type in ('backup', 'restore'))`)
			if c.before != "" {
				do(c.before)
			}
			do(`select auto_backup.extend_log_constraint('` + c.refusing + `')`)
			if got := read(rules); got != c.extended {
				t.Errorf("extended it is\n  %s\nwant\n  %s", got, c.extended)
			}
			if c.between != "" {
				do(c.between)
			}
			if got := read(`select auto_backup.restore_log_constraint()::text`); got != c.unsure {
				t.Errorf("what cannot be checked is %s, want %s", got, c.unsure)
			}
			if got := read(rules); got != c.restored {
				t.Errorf("restored it is\n  %s\nwant\n  %s", got, c.restored)
			}
			if got := read(`select log_constraint::text from auto_backup.installation`); got != "null" {
				t.Errorf("remembered is %s", got)
			}
		})
	}
}

// testLastLeaves proves that the CHECKs are put back when the last backup leaves,
// and not before.
func (tdb *testDatabase) testLastLeaves(t *testing.T) {
	ctx := t.Context()
	tx, err := tdb.owner.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `
		delete from auto_backup.settings;
		insert into auto_backup.settings (backup, document, owner) values ('a', '{}', 'x'), ('b', '{"leaving": false}', 'x')`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ backup, remembered string }{{"a", "true"}, {"a", "true"}, {"b", "false"}} {
		if _, err := tx.Exec(ctx, `select auto_backup.leave($1)`, c.backup); err != nil {
			t.Fatal(err)
		}
		var remembered string
		if err := tx.QueryRow(ctx, `select (log_constraint is not null)::text from auto_backup.installation`).Scan(&remembered); err != nil || remembered != c.remembered {
			t.Errorf("after %s has left, a CHECK is still extended: %s, want %s (%v)", c.backup, remembered, c.remembered, err)
		}
	}
}

package payload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// installSigner installs what signs as the function does: signer.signed(type, context).
func (tdb *testDatabase) installSigner(t testing.TB) {
	t.Helper()
	tdb.exec(t, tdb.admin, `create schema signer; grant usage on schema signer to public`)
	tdb.exec(t, tdb.admin, `
		create function signer.signed(type text, document jsonb, key text default '`+token+`') returns jsonb language sql security definer as $$
			select document || jsonb_build_object('signature', encode(auto_backup .hmac(
				convert_to(auto_backup .outcome(type, document), 'UTF8'), convert_to(key, 'UTF8')), 'hex'))
		$$`)
}

// signedBody is a response of the function with its signature.
func signedBody(kind, format string, args ...any) string {
	var document map[string]any
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &document); err != nil {
		panic(err)
	}
	document["signature"] = stack.Sign(token, stack.OutcomeText(kind, document))
	text, _ := json.Marshal(document)
	return string(text)
}

// signedDetails is a text of backup_logs with its signature.
func signedDetails(run, text string) string {
	return text + " [" + stack.Sign(token, "backup-details-v1\n"+run+"\n"+text)[:32] + "]"
}

// testSignatures proves that the database makes the HMAC that everybody else makes,
// for keys around the length of a block, and that whoever can read pg_net's queue
// does not find the token there.
func (tdb *testDatabase) testSignatures(t *testing.T) {
	for _, length := range []int{0, 1, 43, 63, 64, 65, 131} {
		for _, message := range []string{"", "Hi There", strings.Repeat("ação\n", 100)} {
			key := strings.Repeat("k\x7fé", 50)[:length]
			got := one[string](t, tdb.owner, `select encode(auto_backup.hmac($1::bytea, $2::bytea), 'hex')`, []byte(message), []byte(key))
			if want := stack.Sign(key, message); got != want {
				t.Errorf("a key of %d bytes signs %q with %s, want %s", length, message, got, want)
			}
		}
	}
	// RFC 4231, test case 2.
	if got, want := one[string](t, tdb.owner, `select encode(auto_backup.hmac('what do ya want for nothing?', 'Jefe'), 'hex')`), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; got != want {
		t.Errorf("RFC 4231 has %s, the database %s", want, got)
	}

	s := tdb.newScenario(t)
	s.dispatch("2 06:00:01")
	one[int64](t, s.owner, `select (auto_backup.probe($1) ->> 'id')::bigint`, s.backup)
	for _, role := range []string{"anon", "authenticated", "service_role", "supabase_read_only_user"} {
		conn, err := tdb.admin.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var seen, leaks int
		_, err = conn.Exec(context.Background(), fmt.Sprintf("set role %s", role))
		if err == nil {
			err = conn.QueryRow(context.Background(), `
				select count(*), count(*) filter (where q.headers::text || convert_from(coalesce(q.body, ''), 'UTF8') like '%' || $2 || '%')
				from net.http_request_queue q
				where convert_from(q.body, 'UTF8') like '%' || $1 || '%'`, s.backup, token).Scan(&seen, &leaks)
		}
		if _, reset := conn.Exec(context.Background(), "reset role"); reset != nil {
			t.Fatal(reset)
		}
		conn.Release()
		if err != nil || seen != 2 || leaks != 0 {
			t.Errorf("%s sees %d requests, %d with the token: %v", role, seen, leaks, err)
		}
	}
}

// forged writes to a table that many roles can write.
func (s *scenario) forged(role, sql string, args ...any) {
	s.Helper()
	tx, err := s.admin.Begin(context.Background())
	if err == nil {
		if _, err = tx.Exec(context.Background(), "set local role "+role); err == nil {
			if _, err = tx.Exec(context.Background(), sql, args...); err == nil {
				err = tx.Commit(context.Background())
			}
		}
	}
	if err != nil {
		_ = tx.Rollback(context.Background())
		s.Fatalf("%s: %v", role, err)
	}
}

// testForgeries proves that nobody but the function can say how a run ended: whatever
// else is written to the logs or to pg_net's responses, the run and its alert go the way
// of one that was killed or that failed.
func (tdb *testDatabase) testForgeries(t *testing.T) {
	const event = `insert into public.system_logs (type, message, context) values ($1, 'm', $2)`
	killed := []string{
		"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:pending",
		"incident failed 2 06:00 interrupted sent by watchdog calls:1",
	}
	for name, c := range map[string]struct {
		does func(s *scenario, run string)
		want []string
		seen any // what the watchdog counts as forged
	}{
		"a success in system_logs": {func(s *scenario, run string) {
			s.forged("anon", `select public.insert_system_log(p_type := 'auto_backup', p_message := 'm', p_context := $1)`,
				fmt.Sprintf(`{"run_id":%q,"backup_id":%q,"total_records":4242}`, run, backupID))
		}, killed, 1},
		"a success in both logs": {func(s *scenario, run string) {
			s.forged("service_role", event, "auto_backup", fmt.Sprintf(`{"run_id":%q,"backup_id":%q,"signature":""}`, run, backupID))
			s.forged("service_role", `update public.backup_logs set success = true, records_affected = 4242, details = 'Backup automático ID: ' || $2 || ' - Total: 4242 registros' where id = $1::uuid`, run, backupID)
		}, killed, 1},
		"a success with the token's digest as signature": {func(s *scenario, run string) {
			digest := one[string](s.T, s.owner, `select auto_backup.token_digest($1)`, s.backup)
			s.forged("service_role", event, "auto_backup", fmt.Sprintf(`{"run_id":%q,"backup_id":%q,"signature":%q}`, run, backupID, digest))
		}, killed, 1},
		"the signature of another run": {func(s *scenario, run string) {
			other := s.start("1 06:00", false)
			s.logSuccess(other)
			context := one[map[string]any](s.T, s.owner, `select context from public.system_logs where context ->> 'run_id' = $1`, other)
			context["run_id"] = run
			s.forged("service_role", event, "auto_backup", context)
			s.exec(s.T, s.owner, `delete from public.system_logs where context ->> 'run_id' = $1`, other)
			s.exec(s.T, s.owner, `delete from auto_backup.runs where run_id = $1::uuid`, other)
		}, killed, 1},
		"the signature of this run's failure as that of a success": {func(s *scenario, run string) {
			s.fail(run, "backup_failed", `{"state":"off"}`)
			context := one[map[string]any](s.T, s.owner, `select context from public.system_logs where context ->> 'run_id' = $1`, run)
			s.forged("service_role", event, "auto_backup", context)
		}, []string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:pending",
			"incident failed 2 06:00 backup_failed sent by watchdog calls:1",
		}, 1},
		"an alert that was delivered": {func(s *scenario, run string) {
			s.fail(run, "backup_failed", `{"state":"not_delivered"}`)
			context := one[map[string]any](s.T, s.owner, `select context from public.system_logs where context ->> 'run_id' = $1`, run)
			context["alert"] = map[string]any{"state": "delivered"}
			context["revision"] = 99
			s.forged("service_role", event, "auto_backup_error", context)
		}, []string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:pending",
			"incident failed 2 06:00 backup_failed sent by watchdog calls:1",
		}, 1},
		"an earlier word of the function, repeated": {func(s *scenario, run string) {
			sign := `select signer.signed('auto_backup_error', jsonb_build_object('run_id', $1::text, 'backup', $2::text, 'code', 'backup_failed', 'error', 'motivo',
				'reported_by', 'function', 'revision', $3::integer, 'alert', jsonb_build_object('state', $4::text)))`
			early := one[map[string]any](s.T, s.owner, sign, run, s.backup, 1, "delivered")
			s.exec(s.T, s.owner, event, "auto_backup_error", one[map[string]any](s.T, s.owner, sign, run, s.backup, 2, "not_delivered"))
			s.forged("service_role", event, "auto_backup_error", early)
		}, []string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:pending",
			"incident failed 2 06:00 backup_failed sent by watchdog calls:1",
		}, nil},
		"HTML as code": {func(s *scenario, run string) {
			s.forged("anon", `select public.insert_system_log(p_type := 'auto_backup_error', p_message := 'm', p_context := $1)`,
				fmt.Sprintf(`{"run_id":%q,"code":"<img src=x>","error":"<b>"}`, run))
		}, killed, 1},
		"a failure with its alert in backup_logs": {func(s *scenario, run string) {
			s.forged("service_role", `update public.backup_logs set details = 'Backup automático falhou: nada (alerta enviado) [0123456789abcdef0123456789abcdef]' where id = $1::uuid`, run)
		}, killed, nil},
		"a success as pg_net's response": {func(s *scenario, run string) {
			s.forged("service_role", `insert into net._http_response (id, status_code, headers, content, created)
				select request_id, 200, '{"x-backup-function":"1.0.0"}', $2, now() from (select $1::bigint as request_id) r`,
				one[int64](s.T, s.owner, `select request_id from auto_backup.runs where run_id = $1::uuid`, run),
				fmt.Sprintf(`{"success":true,"run_id":%q,"backup_id":%q,"total_records":1}`, run, backupID))
		}, killed, nil},
		"a refusal as pg_net's response, before the function answers": {func(s *scenario, run string) {
			s.exec(s.T, s.owner, `delete from public.backup_logs where id = $1::uuid`, run)
			s.forged("service_role", `insert into net._http_response (id, status_code, headers, content, created)
				select $1, 401, '{"x-backup-function":"1.0.0"}', '{"success":false,"code":"unauthorized"}', now()`,
				one[int64](s.T, s.owner, `select request_id from auto_backup.runs where run_id = $1::uuid`, run))
			s.watch("2 06:00:30")
			if state := one[string](s.T, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); state != "requested" {
				s.Errorf("while the request is in the queue, the run is %s", state)
			}
			s.claim(run)
		}, killed, nil},
		"texts of many megabytes": {func(s *scenario, run string) {
			s.forged("service_role", `insert into public.system_logs (type, message, context)
				select 'auto_backup_error', 'm', jsonb_build_object('run_id', $1::text, 'code', 'x', 'error', (select string_agg(md5(i::text || n::text), '') from generate_series(1, 100000) i))
				from generate_series(1, 3) n`, run)
		}, killed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.claim(run)
			c.does(s, run)
			summary := s.watch("2 06:01")
			collected, _ := summary["collect"].(map[string]any)
			if fmt.Sprint(collected["forged"]) != fmt.Sprint(c.seen) {
				t.Errorf("the watchdog counts %v forged rows, want %v", collected["forged"], c.seen)
			}
			s.watch("2 06:20")
			state := s.state()
			if len(state) < 2 || state[0] != c.want[0] || state[1] != c.want[1] {
				t.Errorf("left behind:\n  %s\nwant first:\n  %s", strings.Join(state, "\n  "), strings.Join(c.want, "\n  "))
			}
			calls := s.alertCalls()
			if text := fmt.Sprint(calls); len(calls) != 1 || strings.Contains(text, "<") {
				t.Errorf("the alerts are %s", text)
			}
			s.exec(t, s.owner, `delete from public.system_logs where context ->> 'run_id' = $1`, run)
		})
	}
}

// testProbeAnswers proves that only what the function signed for this probe counts as
// an answer to it, read by the role that reads for an apply, and that a forged one
// beside it changes nothing.
func (tdb *testDatabase) testProbeAnswers(t *testing.T) {
	s := tdb.newScenario(t)
	probe := one[map[string]any](t, s.owner, `select auto_backup.probe($1)`, s.backup)
	run := fmt.Sprint(probe["run_id"])
	right := signedBody("probe", `{"success":true,"run_id":%q,"checks":{}}`, run)
	offsite := one[map[string]any](t, s.owner, `select auto_backup.offsite_probe($1, 'r2')`, s.backup)
	copied := fmt.Sprint(offsite["run_id"])
	const other = "7b7e36ae-96b1-4c43-9fd0-61ee5d5b2a7d"
	anything := maps.Clone(probe)
	anything["action"] = "auto_backup"
	for name, c := range map[string]struct {
		content string
		want    bool
		probe   map[string]any // if it is not the one of the installation
	}{
		"signed":                     {content: right, want: true},
		"unsigned":                   {content: fmt.Sprintf(`{"success":true,"run_id":%q}`, run)},
		"signed as a backup":         {content: signedBody("auto_backup", `{"success":true,"run_id":%q}`, run)},
		"signed for another probe":   {content: signedBody("probe", `{"success":true,"run_id":%q}`, other)},
		"another probe's signature":  {content: strings.Replace(signedBody("probe", `{"success":true,"run_id":%q}`, other), other, run, 1)},
		"a failure made a success":   {content: strings.Replace(signedBody("probe", `{"success":false,"code":"probe_failed","run_id":%q}`, run), "false", "true", 1)},
		"a signed failure":           {content: signedBody("probe", `{"success":false,"run_id":%q}`, run)},
		"larger than the function's": {content: strings.Replace(right, "{", `{"more":"`+strings.Repeat("x", 16384)+`",`, 1)},
		"no JSON":                    {content: "<html>"},
		"nothing":                    {content: ""},
		"of a destination":           {content: signedBody("offsite_probe", `{"success":true,"run_id":%q}`, copied), want: true, probe: offsite},
		"signed as the other probe":  {content: signedBody("probe", `{"success":true,"run_id":%q}`, copied), probe: offsite},
		"signed as a destination's":  {content: signedBody("offsite_probe", `{"success":true,"run_id":%q}`, run)},
		"asked as a backup's":        {content: signedBody("auto_backup", `{"success":true,"run_id":%q}`, run), probe: anything},
	} {
		asked := probe
		if c.probe != nil {
			asked = c.probe
		}
		tx, err := s.admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got bool
		if _, err = tx.Exec(t.Context(), `set local role supabase_read_only_user`); err == nil {
			err = tx.QueryRow(t.Context(), `select auto_backup.is_probe_answer($1, $2, nullif($3, ''))`, s.backup, asked, c.content).Scan(&got)
		}
		_ = tx.Rollback(context.Background())
		if err != nil || got != c.want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
}

// testRefusedRotation proves that a run whose first request was refused before the token
// was replaced is requested again with the present token, and ends with it.
func (tdb *testDatabase) testRefusedRotation(t *testing.T) {
	s := tdb.newScenario(t)
	run := s.dispatch("2 06:00")
	s.respond(run, unkeyed())
	const replacement = "new-Zx81NsPqTfVbYcWd-RmLk2JhGu6_EoIa0Q3t7B9"
	s.exec(t, s.owner, `select vault.create_secret($1, $2 || '/former-token', 'managed')`, token, s.backup)
	s.exec(t, s.owner, `select vault.update_secret(id, $2) from vault.secrets where name = $1 || '/token'`, s.backup, replacement)
	s.watch("2 06:10")
	signed := `
		select q.headers ->> 'X-Backup-Signature' = encode(auto_backup.hmac(q.body, convert_to($2, 'UTF8')), 'hex')
		from net.http_request_queue q join auto_backup.runs r on r.request_id = q.id where r.run_id = $1::uuid`
	if !one[bool](t, s.owner, signed, run, replacement) {
		t.Error("the second request is not signed with the present token")
	}
	s.accept(run)
	s.logSuccess(run)
	s.exec(t, s.owner, `update public.system_logs set context = signer.signed(type, context, $2) where context ->> 'run_id' = $1`, run, replacement)
	s.exec(t, s.owner, `update public.backup_logs set success = true where id = $1::uuid`, run)
	s.watch("2 06:20")
	if got := s.state()[0]; got != "run 2 06:00 #1 schedule succeeded log:function alert:-" {
		t.Errorf("left behind: %s", got)
	}
}

// testFormerToken proves that a run that was requested before the token was replaced can
// still say how it ended, that one that was requested later cannot say so with the former
// token, and that the former token is removed after some days.
func (tdb *testDatabase) testFormerToken(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	before := s.dispatch("2 06:00")
	s.accept(before)
	const replacement = "new-Zx81NsPqTfVbYcWd-RmLk2JhGu6_EoIa0Q3t7B9"
	s.exec(t, s.owner, `select vault.create_secret($1, $2 || '/former-token', 'managed')`, token, s.backup)
	s.exec(t, s.owner, `select vault.update_secret(id, $2) from vault.secrets where name = $1 || '/token'`, s.backup, replacement)
	after := s.start("2 06:01", false)
	s.accept(after)
	s.exec(t, s.owner, `update auto_backup.runs set posted_at = now() + interval '1 minute' where run_id = $1::uuid`, after)
	for _, run := range []string{before, after} {
		s.logSuccess(run)
		s.exec(t, s.owner, `update public.backup_logs set success = true where id = $1::uuid`, run)
		s.exec(t, s.owner, `update public.system_logs set created_at = now() + interval '2 minutes' where context ->> 'run_id' = $1`, run)
	}
	states := func() string {
		return one[string](t, s.owner, `select string_agg(state, ' ' order by requested_at) from auto_backup.runs where backup = $1`, s.backup)
	}
	s.watch("2 06:02")
	if got := states(); got != "succeeded running" {
		t.Errorf("with the former token the runs are %s", got)
	}
	s.exec(t, s.owner, `update public.system_logs set context = signer.signed(type, context, $2) where context ->> 'run_id' = $1`, after, replacement)
	s.watch("2 06:03")
	if got := states(); got != "succeeded succeeded" {
		t.Errorf("with the new token the runs are %s", got)
	}
	left := func() int {
		return one[int](t, s.owner, `select count(*) from vault.secrets where name = $1 || '/former-token'`, s.backup)
	}
	s.exec(t, s.admin, `update vault.secrets set updated_at = $2::timestamptz where name = $1 || '/former-token'`, s.backup, moment(t, "2 06:00"))
	s.exec(t, s.owner, `select auto_backup.prune($1, $2)`, s.backup, moment(t, "4 06:00"))
	if left() != 1 {
		t.Error("the former token is removed too early")
	}
	s.exec(t, s.owner, `select auto_backup.prune($1, $2)`, s.backup, moment(t, "4 06:01"))
	if left() != 0 {
		t.Error("the former token is kept")
	}
}

package attacks_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const function = "/functions/v1/auto-backup"

// overREST are the attacks with a key of the project, or none.
func overREST() (list []attack) {
	for _, attacker := range []string{noKey, anon, authenticated, serviceRole} {
		who := restRole(attacker)
		add := func(aim, what string, run func(*site) error, numbers ...int) {
			list = append(list, attack{attacker: attacker, aim: aim, what: what, run: run, numbers: numbers})
		}
		add(readToken, "Reads the vault, pg_net's queue and the closed schema over the Data API, calls the functions that return the token, and sends the Edge Function wrong signatures.", func(s *site) error {
			s.backupRuns()
			var seen strings.Builder
			for _, place := range [][2]string{
				{"vault", "decrypted_secrets"}, {"vault", "secrets"}, {"net", "http_request_queue"}, {"net", "_http_response"},
				{"auto_backup", "settings"}, {"auto_backup", "runs"}, {"auto_backup", "watchdog"}, {"public", "system_logs"}, {"public", "backup_logs"}, {"cron", "job"},
			} {
				_, text := s.rest(who, http.MethodGet, place[1], nil, "Accept-Profile", place[0])
				seen.WriteString(text)
			}
			for _, rpc := range []string{"token", "token_digest", "keys", "get_backup_logs", "get_system_logs", "get_cron_jobs", "get_cron_runs"} {
				_, text := s.rest(who, http.MethodPost, "rpc/"+rpc, map[string]any{}, "Content-Profile", "auto_backup")
				seen.WriteString(text)
				_, text = s.rest(who, http.MethodPost, "rpc/"+rpc, map[string]any{})
				seen.WriteString(text)
			}
			for _, signature := range []string{"", "0", strings.Repeat("0", 64), strings.Repeat("f", 64), stack.Sign("", "{}")} {
				_, text := s.call(who, http.MethodPost, function, `{}`, "X-Backup-Signature", signature)
				seen.WriteString(text)
			}
			return s.leaks(seen.String() + s.stack.FunctionLogs(name.Slug()))
		})
		add(forge, "Of a run that died, logs a success with a stored backup's ID, unsigned, with the signature of another run, and with the token's digest; and changes its row in `backup_logs`.", func(s *site) error {
			other := s.backupRuns()
			signature := s.text(`select context ->> 'signature' from public.system_logs where type = 'auto_backup' and context ->> 'run_id' = $1`, other)
			s.day++
			run := s.claimed()
			for _, signature := range []string{"", signature, strings.Repeat("0", 64), fmt.Sprintf("%x", digest(s.token))} {
				context := map[string]any{"run_id": run, "backup": name, "backup_id": oldBackup, "total_records": 4242, "revision": 99, "signature": signature}
				s.writesLog(who, "auto_backup", context)
			}
			s.rest(who, http.MethodPatch, "backup_logs"+query("id", run), map[string]any{"success": true, "records_affected": 4242, "details": "Backup automático ID: " + oldBackup + " - Total: 4242 registros"})
			s.rest(who, http.MethodPatch, "runs"+query("run_id", run), map[string]any{"state": "succeeded"}, "Content-Profile", "auto_backup")
			s.rest(who, http.MethodPost, "rpc/close", map[string]any{"run_id": run, "verdict": map[string]any{"state": "succeeded"}, "at": "now"}, "Content-Profile", "auto_backup")
			return s.noticed(run)
		}, when(who == anon, 1)...)
		add(suppress, "Of a failure whose alert was not sent, logs a later row that says it was delivered, and changes and deletes the rows that say otherwise.", func(s *site) error {
			run := s.failed()
			s.writesLog(who, "auto_backup_error", map[string]any{
				"run_id": run, "backup": name, "code": "backup_failed", "error": "motivo", "reported_by": "function", "revision": 99, "alert": map[string]any{"state": "delivered", "emails_sent": 2, "emails_failed": 0},
			})
			s.rest(who, http.MethodPatch, "system_logs?type=eq.auto_backup_error", map[string]any{"context": map[string]any{"run_id": run, "code": "backup_failed", "alert": map[string]any{"state": "delivered"}}})
			s.rest(who, http.MethodDelete, "system_logs?type=eq.auto_backup_error", nil)
			s.rest(who, http.MethodPatch, "backup_logs"+query("id", run), map[string]any{"details": "Backup automático falhou: nada (alerta enviado)"})
			s.rest(who, http.MethodPatch, "incidents"+query("backup", string(name)), map[string]any{"alert_state": "delivered"}, "Content-Profile", "auto_backup")
			return s.noticed(run)
		}, when(who == anon, 2)...)
		add(double, "Sends a captured request again, also with another run ID or backup, and unsigned ones; calls the functions that start a run.", func(s *site) error {
			s.backupRuns()
			before := s.stored()
			for _, request := range s.requests() {
				if status, text := s.call(who, http.MethodPost, function, request.body, "X-Backup-Signature", request.signature); status < 400 {
					return fmt.Errorf("a captured request is accepted: %d %s", status, text)
				}
				other := strings.ReplaceAll(request.body, `"attempt": 1`, `"attempt": 2`)
				if status, text := s.call(who, http.MethodPost, function, other, "X-Backup-Signature", request.signature); status != 401 {
					return fmt.Errorf("a changed request is answered by %d %s", status, text)
				}
				if status, text := s.call(who, http.MethodPost, function, request.body); status != 401 {
					return fmt.Errorf("a request without a signature is answered by %d %s", status, text)
				}
			}
			for rpc, arguments := range map[string]any{
				"dispatch": map[string]any{"backup": name, "schedule": "daily"}, "run_now": map[string]any{"backup": name}, "probe": map[string]any{"backup": name},
			} {
				if status, _ := s.rest(who, http.MethodPost, "rpc/"+rpc, arguments, "Content-Profile", "auto_backup"); status < 400 {
					return fmt.Errorf("%s may be called", rpc)
				}
			}
			if after := s.stored(); after != before {
				return fmt.Errorf("there are %s stored backups, before %s", after, before)
			}
			return nil
		})
		add(redirect, "Writes the settings and the jobs, and sends the Edge Function headers that name another host and another project.", func(s *site) error {
			before := s.installed()
			document := map[string]any{"function": map[string]any{"url": "https://evil.example"}, "alert": map[string]any{"url": "https://evil.example"}}
			s.rest(who, http.MethodPatch, "settings"+query("backup", string(name)), map[string]any{"document": document}, "Content-Profile", "auto_backup")
			s.rest(who, http.MethodPost, "rpc/configure", map[string]any{"backup": name, "document": document, "function_id": "", "jobs": []any{}, "surplus": []any{}}, "Content-Profile", "auto_backup")
			s.rest(who, http.MethodPatch, "job?jobname=like.auto-backup*", map[string]any{"command": "select 1"}, "Content-Profile", "cron")
			s.call(who, http.MethodPost, function, `{"url":"https://evil.example"}`, "X-Forwarded-Host", "evil.example", "Origin", "https://evil.example", "X-Backup-Signature", strings.Repeat("0", 64))
			run := s.backupRuns()
			s.watch(10 * time.Minute)
			if state := s.state(run); state != "succeeded" {
				return fmt.Errorf("the run is %s", state)
			}
			return s.unchanged(before)
		})
		add(runCode, "Puts SQL, format strings and quotes into every text of the logs that the watchdog reads, and into the names of functions and filters.", func(s *site) error {
			before := s.installed()
			run := s.claimed()
			for _, text := range hostile {
				s.writesLog(who, "auto_backup_error", map[string]any{
					"run_id": run, "backup": text, "code": text, "sqlstate": text, "error": text, "backup_id": text, "total_records": text,
					"signature": text, "revision": text, "alert": map[string]any{"state": text, "emails_sent": text},
				})
				s.rest(who, http.MethodPatch, "backup_logs"+query("id", run), map[string]any{"details": text})
				s.rest(who, http.MethodGet, "system_logs"+query("type", text), nil)
			}
			for _, rpc := range []string{"pg_read_file", "query_to_xml", "pg_sleep", "exec_sql", "format"} {
				if status, text := s.rest(who, http.MethodPost, "rpc/"+rpc, map[string]any{}); status < 400 {
					return fmt.Errorf("%s may be called: %s", rpc, text)
				}
			}
			return all(s.noticed(run), s.unchanged(before), s.nothingRan())
		})
		add(forge, "While the backup function's answer is lost, logs that it made a backup, with the ID of an older one that is stored.", func(s *site) error {
			s.backupRuns()
			older := s.text(`select backup_id::text from public.backup_articles limit 1`)
			s.day++
			s.losesAnswer(func() {
				details := "Backup ID: " + older + " - Total: 4242 registros"
				s.rest(who, http.MethodPost, "backup_logs", map[string]any{"action_type": "backup", "success": true, "records_affected": 4242, "details": details})
				s.rest(who, http.MethodPost, "system_logs", map[string]any{"type": "backup", "message": "m", "context": map[string]any{"backup_id": older, "total_records": 4242}})
			})
			return s.noticed(s.backupRuns())
		}, when(who == authenticated, 13)...)
		add(exhaust, "Logs rows of megabytes about a run in progress, and sends the Edge Function bodies without end.", func(s *site) error {
			run := s.claimed()
			large := strings.Repeat("x", 2<<20)
			for range 2 {
				s.writesLog(who, "auto_backup", map[string]any{"run_id": run, "signature": strings.Repeat("a", 64), "error": large})
			}
			if err := s.readsLittle(); err != nil {
				return err
			}
			if status, _ := s.call(who, http.MethodPost, function, large); status != 401 {
				return fmt.Errorf("a large body without a signature is answered by %d", status)
			}
			if status, _ := s.call(who, http.MethodPost, function, large, "X-Backup-Signature", strings.Repeat("0", 64)); status != 413 {
				return fmt.Errorf("a large body with a signature is answered by %d", status)
			}
			return s.noticed(run)
		}, when(who == anon, 9)...)
		if who == anon {
			list = append(list, attack{attacker: attacker, aim: exhaust, heavy: true, what: fmt.Sprintf("Logs 60 rows of 4 MB about a run in progress: the watchdog's memory grows by less than %d MB.", mostMemory), run: func(s *site) error {
				run := s.claimed()
				large := strings.Repeat("x", 4<<20)
				for range 60 {
					s.rest(who, http.MethodPost, "rpc/insert_system_log", map[string]any{"p_type": "auto_backup", "p_message": "m", "p_context": map[string]any{"run_id": run, "error": large}})
				}
				if n := s.text(`select count(*)::text from public.system_logs where pg_column_size(context) > 40000`); n != "60" {
					s.failf("%s rows are logged", n)
				}
				return all(s.takesLittle(), s.noticed(run))
			}})
		}
		add(spoof, "Logs 50 failures of one run, with HTML, line feeds and characters that change the direction of text in every field.", func(s *site) error {
			run := s.claimed()
			for n := range 50 {
				s.writesLog(who, "auto_backup_error", map[string]any{
					"run_id": run, "backup": name, "code": fmt.Sprintf("<img src=x onerror=%d>", n), "error": "<b>\u202e\u200b\r\nBcc: all@example.com</b>", "reported_by": "function", "revision": n,
				})
			}
			return all(s.noticed(run), s.plainMails())
		}, when(who == anon, 3)...)
		add(readSecrets, "Asks for the vault's secrets and for their digests, and sends the Edge Function hostile requests.", func(s *site) error {
			seen := s.hostileRequests(who)
			for _, request := range []string{"token_digest", "key_digest", "key", "token"} {
				_, text := s.rest(who, http.MethodPost, "rpc/"+request, map[string]any{"backup": "stripe"}, "Content-Profile", "auto_backup")
				seen += text
			}
			_, text := s.rest(who, http.MethodGet, "decrypted_secrets"+query("name", "stripe/token"), nil, "Accept-Profile", "vault")
			return s.leaks(seen + text)
		})
		add(mislead, "Logs successes, failures and alerts, also of runs that do not exist and of the year 2036, while the backup is healthy.", func(s *site) error {
			run := s.backupRuns()
			for _, kind := range []string{"auto_backup", "auto_backup_error"} {
				for _, id := range []string{run, "00000000-0000-4000-8000-000000000000", "", "x"} {
					s.writesLog(who, kind, map[string]any{"run_id": id, "backup": name, "code": "backup_failed", "backup_id": oldBackup, "total_records": 1, "alert": map[string]any{"state": "failed"}})
				}
			}
			s.rest(who, http.MethodPost, "system_logs", map[string]any{"type": "auto_backup_error", "message": "m", "created_at": "2036-01-01", "context": map[string]any{"run_id": run}})
			return s.staysHealthy(run)
		})
	}
	return list
}

// when is the number of an attack that once succeeded, if this is how it was made.
func when(condition bool, number int) []int {
	if condition {
		return []int{number}
	}
	return nil
}

// losesAnswer ends the calls of the backup function without an answer and without a
// backup, after an attack.
func (s *site) losesAnswer(attack func()) {
	s.stack.InterceptProject(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/rest/v1/rpc/"+backup.DefaultRPC {
				attack()
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
}

// writesLog writes to system_logs in both ways that there are.
func (s *site) writesLog(who restRole, kind string, context map[string]any) {
	s.rest(who, http.MethodPost, "rpc/insert_system_log", map[string]any{"p_type": kind, "p_message": "m", "p_context": context})
	s.rest(who, http.MethodPost, "system_logs", map[string]any{"type": kind, "message": "m", "context": context})
}

// requests are those that pg_net has sent to the function.
func (s *site) requests() []captured {
	s.captured.Lock()
	defer s.captured.Unlock()
	if len(s.captured.all) == 0 {
		s.failf("no request was captured")
	}
	return s.captured.all[len(s.captured.all)-1:]
}

// hostile are texts that break out of what they are put into.
var hostile = []string{
	"'; create table public.owned (); --", "$body$; create table public.owned (); $body$", "%s %L %I %1$s %%", `\'; \x41`, `","code":"x`,
	"{{7*7}} ${7*7}", "'||(select string_agg(decrypted_secret,'') from vault.decrypted_secrets)||'", "\u202e\u200b\u0007", strings.Repeat("a", 5000),
}

// nothingRan checks that none of the hostile texts was run.
func (s *site) nothingRan() error {
	if s.holds(`to_regclass('public.owned') is not null`) {
		return fmt.Errorf("a text was run as SQL")
	}
	return nil
}

// unchanged checks that what is installed is as before.
func (s *site) unchanged(before string) error {
	if s.installed() != before {
		return fmt.Errorf("the settings, the jobs, the functions or the vault have changed")
	}
	return nil
}

// readsLittle checks that a tick of the watchdog reads no text that is stored out of
// line: PostgreSQL counts the blocks of the table in which it keeps these.
func (s *site) readsLittle() error {
	read := func() string {
		return s.text(`
			select string_agg(concat_ws(' ', relname, coalesce(toast_blks_read + toast_blks_hit, 0)), ', ' order by relname)
			from pg_statio_all_tables where relid in ('public.system_logs'::regclass, 'net._http_response'::regclass, 'net.http_request_queue'::regclass)`)
	}
	flush := `select pg_stat_force_next_flush()`
	var before, after string
	// Other sessions report late what they have read and written themselves, so one tick
	// in which nothing is counted is enough: what reads the texts does so at each.
	for range 5 {
		s.exec(s.owner, flush)
		before = read()
		tx, err := s.owner.Begin(s.ctx)
		s.must(err)
		_, err = tx.Exec(s.ctx, `select auto_backup.watch($1, $2)`, name, s.due().Add(time.Minute))
		if err == nil {
			_, err = tx.Exec(s.ctx, flush)
		}
		s.must(errors.Join(err, tx.Commit(s.ctx)))
		if after = read(); after == before {
			return nil
		}
	}
	return fmt.Errorf("the watchdog has read the large texts: %s, before %s", after, before)
}

// mostMemory is by how many megabytes a tick of the watchdog may make its session grow.
const mostMemory = 32

// takesLittle checks how far a session grows that runs a tick of the watchdog.
func (s *site) takesLittle() error {
	conn, err := pgx.Connect(s.ctx, s.stack.DatabaseURL)
	s.must(err)
	defer func() { _ = conn.Close(s.ctx) }()
	// The first tick loads the functions and catalogs.
	for range 2 {
		before := s.peakMemory(conn.PgConn().PID())
		_, err = conn.Exec(s.ctx, `select auto_backup.watch($1, $2)`, name, s.due().Add(time.Minute))
		s.must(err)
		if grown := s.peakMemory(conn.PgConn().PID()) - before; grown > mostMemory {
			return fmt.Errorf("the watchdog's session has grown by %d MB", grown)
		}
	}
	return nil
}

// peakMemory is the most memory of its own that a session's process has had, in
// megabytes. What it has touched of the buffers that all share is not its own.
func (s *site) peakMemory(process uint32) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
	s.must(err)
	read := func(field string) (kilobytes int) {
		_, rest, _ := strings.Cut(string(status), field+":")
		if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
			s.failf("%s of process %d: %w", field, process, err)
		}
		return kilobytes
	}
	return (read("VmHWM") - read("RssShmem")) / 1024
}

// plainMails checks that no e-mail has markup or invisible characters from outside.
func (s *site) plainMails() error {
	mails := s.stack.Emails()[s.mails:]
	if len(mails) == 0 {
		return fmt.Errorf("there is no e-mail")
	}
	for _, mail := range mails {
		for _, foreign := range []string{"<img", "<b>", "onerror", "\u202e", "\u200b", "Bcc"} {
			if strings.Contains(mail.Subject+mail.HTML, foreign) {
				return fmt.Errorf("an e-mail contains %q", foreign)
			}
		}
	}
	return nil
}

// staysHealthy checks that a backup that has succeeded is shown as such.
func (s *site) staysHealthy(run string) error {
	s.watch(20 * time.Minute)
	s.watch(30 * time.Minute)
	var wrong []error
	if state := s.state(run); state != "succeeded" {
		wrong = append(wrong, fmt.Errorf("the run is %s", state))
	}
	if n := s.text(`select count(*)::text from auto_backup.runs`); n != "1" {
		wrong = append(wrong, fmt.Errorf("there are %s runs", n))
	}
	if got := s.rounds(); got != "0 0" {
		wrong = append(wrong, fmt.Errorf("the subscribers have got %s e-mails", got))
	}
	status := s.status(31 * time.Minute)
	if !status.Healthy() || status.LastSuccess == nil {
		wrong = append(wrong, fmt.Errorf("the status is %s: %s", status.Condition, status.Summary))
	}
	for _, problem := range status.Problems {
		if problem.Code != "forged_log" {
			wrong = append(wrong, fmt.Errorf("the status shows the problem %s", problem.Code))
		}
	}
	return all(wrong...)
}

// hostileRequests sends the function everything that is not a request, and returns its
// answers. None may be accepted.
func (s *site) hostileRequests(who restRole) string {
	var seen strings.Builder
	bodies := append([]string{"", "{", "null", "[]", `"x"`, "0", `{"run_id":1}`, `{"__proto__":{"x":1}}`, "\x00\xff\xfe", strings.Repeat("[", 10000), strings.Repeat("x", 20000)}, hostile...)
	signatures := []string{strings.Repeat("0", 64), strings.Repeat("F", 64), "Bearer x", "../../etc/passwd", s.token[:10]}
	for i, body := range bodies {
		status, text := s.call(who, http.MethodPost, function, body, "X-Backup-Signature", signatures[i%len(signatures)])
		if status < 400 {
			s.failf("%d for the body %.50q", status, body)
		}
		seen.WriteString(text)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		_, text := s.call(who, method, function, "", "X-Backup-Signature", strings.Repeat("0", 64))
		seen.WriteString(text)
	}
	for _, path := range []string{"/../", "/.env", "/tokens.json", "/config.json", "?token=1", "/index.ts"} {
		_, text := s.call(who, http.MethodPost, function+path, "{}")
		seen.WriteString(text)
	}
	for _, header := range []string{"X-Backup-Token", "X-Forwarded-For", "Content-Encoding", "Transfer-Encoding-Override", "Cookie", "X-HTTP-Method-Override"} {
		_, text := s.call(who, http.MethodPost, function, "{}", header, "gzip")
		seen.WriteString(text)
	}
	return seen.String()
}

package attacks_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

func attacks() []attack {
	return slices.Concat(overREST(), overSQL(), onDrills(), onRetention(), onCopies(), byTokens(), byForgedAPI(), byForgedServer(), byClock(), byState())
}

// byTokens are the attacks with an access token that may read functions and secrets
// and nothing else.
func byTokens() (list []attack) {
	requests := map[string][][2]string{
		readToken:   {{"GET", "/secrets"}, {"GET", "/functions"}, {"GET", "/functions/auto-backup"}, {"GET", "/functions/auto-backup/body"}},
		readSecrets: {{"GET", "/secrets"}, {"GET", "/api-keys?reveal=true"}, {"GET", "/config/database/pooler"}, {"POST", "/database/query"}, {"POST", "/database/query/read-only"}},
		forge:       {{"POST", "/database/query"}, {"POST", "/database/query/read-only"}},
		suppress:    {{"POST", "/secrets"}, {"DELETE", "/secrets"}, {"POST", "/database/query"}, {"DELETE", "/functions/alert-processor"}},
		double:      {{"POST", "/database/query"}, {"DELETE", "/functions/auto-backup"}, {"PATCH", "/functions/auto-backup"}},
		redirect:    {{"POST", "/functions/deploy?slug=auto-backup"}, {"PATCH", "/functions/auto-backup"}, {"POST", "/secrets"}},
		runCode:     {{"POST", "/functions/deploy?slug=auto-backup"}, {"POST", "/functions"}, {"POST", "/database/query"}},
		removeKept:  {{"POST", "/database/query"}, {"POST", "/database/query/read-only"}, {"POST", "/database/migrations"}},
	}
	for _, aim := range []string{readToken, forge, suppress, double, redirect, runCode, readSecrets, removeKept} {
		var names []string
		for _, request := range requests[aim] {
			names = append(names, "`"+request[0]+" "+request[1]+"`")
		}
		list = append(list, attack{attacker: scopedToken, aim: aim, what: "Sends " + strings.Join(names, ", ") + ".", run: func(s *site) error {
			s.scopes()
			before := s.installed()
			var seen strings.Builder
			for _, request := range requests[aim] {
				status, text := s.send(request[0], s.stack.APIURL+"/v1/projects/"+s.stack.ProjectRef+request[1], `{"query":"select 1"}`,
					"Authorization", "Bearer "+s.stack.ReadOnlyAccessToken, "Content-Type", "application/json")
				if request[0] != http.MethodGet && status != http.StatusForbidden {
					return fmt.Errorf("%s %s is answered by %d", request[0], request[1], status)
				}
				seen.WriteString(text)
			}
			return all(s.leaks(seen.String()), s.unchanged(before))
		}})
	}
	return append(list, attack{attacker: scopedToken, aim: mislead, what: "Plans and asks for the status: what may not be read is an error, and not missing.", run: func(s *site) error {
		s.scopes()
		_, err := s.serviceWith(s.stack.ReadOnlyAccessToken).Observe(s.ctx, name, backup.Known{})
		if err == nil || !errors.Is(err, postgres.ErrUnavailable) && !strings.Contains(err.Error(), "403") {
			return fmt.Errorf("a plan reads without the database: %w", err)
		}
		return nil
	}})
}

// scopes makes the read-only token one that may read functions and secrets.
func (s *site) scopes() {
	s.stack.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			project, _ := strings.CutPrefix(r.URL.Path, "/v1/projects/"+s.stack.ProjectRef)
			known := strings.HasPrefix(project, "/functions") || strings.HasPrefix(project, "/secrets")
			if r.Method == http.MethodGet && known {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"Your account does not have the necessary privileges to access this endpoint."}`)
		})
	})
}

// byForgedAPI are the attacks of a server that passes for the Management API.
func byForgedAPI() (list []attack) {
	const token = "sbp_0123456789abcdef0123456789abcdef01234567"
	add := func(aim, what string, check func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error, numbers ...int) {
		list = append(list, attack{attacker: forgedAPI, aim: aim, what: what, numbers: numbers, run: func(s *site) error {
			var handle http.HandlerFunc
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r) }))
			defer server.Close()
			client, err := supabase.New(supabase.Config{BaseURL: server.URL, Token: token, UserAgent: "attacks"})
			s.must(err)
			return check(s, client, func(h http.HandlerFunc) { handle = h })
		}})
	}
	elsewhere := func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		other := newEvil()
		defer other.Close()
		for _, status := range []int{301, 302, 303, 307, 308} {
			answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
			_, _ = client.ListSecrets(s.ctx, s.stack.ProjectRef)
			_ = client.SetSecrets(s.ctx, s.stack.ProjectRef, map[string]string{"A": s.token})
		}
		if seen := other.seen(); strings.Contains(seen, token) || strings.Contains(seen, s.token) {
			return errors.New("another host was sent a token")
		}
		return nil
	}
	add(readToken, "Redirects requests that carry the invocation token to another host.", elsewhere)
	add(redirect, "Redirects requests to another host, which then would have the access token.", elsewhere)
	add(double, "Says by `null` or by elements without their names that there is no function and no secret, so that a plan would create them again.", func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		var wrong []error
		for _, body := range []string{"null", "[null]", "[{}]", "{}", `""`, ""} {
			answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, body)
			})
			if _, err := client.ListFunctions(s.ctx, s.stack.ProjectRef); err == nil {
				wrong = append(wrong, fmt.Errorf("functions: %q is believed", body))
			}
			if _, err := client.ListSecrets(s.ctx, s.stack.ProjectRef); err == nil {
				wrong = append(wrong, fmt.Errorf("secrets: %q is believed", body))
			}
		}
		return all(wrong...)
	}, 16)
	add(exhaust, "Answers with a gigabyte of zeros, compressed to a megabyte, and asks to wait for 292 years.", func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			zip := gzip.NewWriter(w)
			zeros := make([]byte, 1<<20)
			for range 1024 {
				if _, err := zip.Write(zeros); err != nil {
					return
				}
			}
			_ = zip.Close()
		})
		if _, err := client.ListSecrets(s.ctx, s.stack.ProjectRef); err == nil {
			return errors.New("the answer is believed")
		}
		answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "9223372036854775807")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		if _, err := client.ListSecrets(ctx, s.stack.ProjectRef); err == nil {
			return errors.New("a refusal is believed")
		}
		return nil
	})
	add(readSecrets, "Repeats in an error what it was sent: the access token and the value of a secret.", func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		answer(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"message":"bad %s %s"}`, r.Header.Get("Authorization"), strings.ReplaceAll(string(body), `"`, "'"))
		})
		err := client.SetSecrets(s.ctx, s.stack.ProjectRef, map[string]string{"A": s.token})
		if err == nil {
			return errors.New("no error")
		}
		if text := err.Error(); strings.Contains(text, token) || strings.Contains(text, s.token) {
			return errors.New("the error shows a token")
		}
		return nil
	})
	add(runCode, "Puts escape sequences, line feeds and invisible characters, which a terminal would run, into an error.", func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		answer(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"message":"a\u001b[2J\u001b]0;owned\u0007\nError: forged\u202e\u200b"}`)
		})
		_, err := client.ListSecrets(s.ctx, s.stack.ProjectRef)
		if err == nil || strings.ContainsAny(err.Error(), "\x1b\x07\u202e\u200b") || strings.Contains(err.Error(), "\nError: forged") {
			return fmt.Errorf("the error is %q", fmt.Sprint(err))
		}
		return nil
	})
	add(mislead, "Answers a plan's SQL with `null`, another project and another function.", func(s *site, client *supabase.Client, answer func(http.HandlerFunc)) error {
		for _, body := range []string{"null", `[{"result":null}]`, `[]`, `{"ref":"tsrqponmlkjihgfedcba"}`, `[{"slug":"x"}]`} {
			answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, body)
			})
			service := install.NewService(s.stack.ProjectRef, client, postgres.OverAPI(supabase.ProjectSQL{Client: client, Ref: s.stack.ProjectRef}))
			if _, err := service.Observe(s.ctx, name, backup.Known{}); err == nil {
				return fmt.Errorf("%s is believed", body)
			}
		}
		return nil
	})
	return list
}

const databasePassword = "canary-password"

// send serves a client with messages, whatever it says.
func send(messages ...pgproto3.BackendMessage) func(*pgproto3.Backend) error {
	return func(b *pgproto3.Backend) error {
		for _, message := range messages {
			b.Send(message)
		}
		return nil
	}
}

var asksForPassword = send(&pgproto3.AuthenticationCleartextPassword{})

// deceive connects a client to a server that passes for a database, and returns what the
// server was sent after the startup message, and the client's error.
func deceive(serve func(*pgproto3.Backend) error, connect func(address string) error) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	stack.Must(err)
	received := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			received <- ""
			return
		}
		defer func() { _ = c.Close() }()
		b := pgproto3.NewBackend(c, c)
		if _, err := b.ReceiveStartupMessage(); err == nil && serve(b) == nil && b.Flush() == nil {
			text, _ := io.ReadAll(io.LimitReader(c, 1<<16))
			received <- string(text)
			return
		}
		received <- ""
	}()
	err = connect(listener.Addr().String())
	_ = listener.Close()
	return <-received, err
}

// byForgedServer are the attacks of a server that passes for the database: it does not
// know the password, so it is told nothing.
func byForgedServer() (list []attack) {
	add := func(aim, what string, serve func(b *pgproto3.Backend) error, numbers ...int) {
		list = append(list, attack{attacker: forgedServer, aim: aim, what: what, numbers: numbers, run: func(s *site) error {
			text, err := deceive(serve, func(address string) error {
				db, err := postgres.Open("postgres://postgres:" + databasePassword + "@" + address + "/postgres?sslmode=disable")
				s.must(err)
				defer func() { _ = db.Close(s.ctx) }()
				_, err = db.Query(s.ctx, postgres.ReadOnly, "select '1'::jsonb as result")
				return err
			})
			if err == nil || strings.Contains(err.Error(), databasePassword) {
				return fmt.Errorf("the server is believed, or the error shows the password: %w", err)
			}
			if strings.Contains(text, databasePassword) || strings.Contains(text, "select") || strings.HasPrefix(text, "md5") {
				return fmt.Errorf("the server was sent %q", text)
			}
			return nil
		}})
	}
	ready := &pgproto3.ReadyForQuery{TxStatus: 'I'}
	add(readSecrets, "Asks for the password in clear.", asksForPassword, 8)
	add(readToken, "Accepts the connection without a password, to be sent the statement that stores the token.", send(&pgproto3.AuthenticationOk{}, ready))
	add(forge, "Accepts the connection and answers the status's statement before it was sent.", send(&pgproto3.AuthenticationOk{}, ready, &pgproto3.DataRow{Values: [][]byte{[]byte(`{}`)}}, ready))
	add(redirect, "Asks for the password as an MD5 digest, with which it could connect to the database itself.", send(&pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}))
	add(double, "Offers SCRAM and ends it without knowing the password, to be sent an apply's statements.", send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}, &pgproto3.AuthenticationSASLFinal{Data: []byte("v=AAAA")}, &pgproto3.AuthenticationOk{}, ready))
	add(mislead, "Refuses with a message full of escape sequences, and offers an unknown mechanism.", send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"NONE"}}, &pgproto3.ErrorResponse{Severity: "FATAL", Code: "28000", Message: "a\x1b[2J"}))
	add(exhaust, "Reports settings without end before the authentication.", func(b *pgproto3.Backend) error {
		for n := range 1 << 16 {
			b.Send(&pgproto3.ParameterStatus{Name: fmt.Sprint("n", n), Value: strings.Repeat("v", 1000)})
			if err := b.Flush(); err != nil {
				return err
			}
		}
		return errors.New("the client reads 64 MB")
	})
	list = append(list, attack{attacker: forgedServer, aim: readSecrets, numbers: []int{17}, what: "Is named by a URL whose password has characters that should have been encoded: no part of it is shown.", run: func(*site) error {
		for _, given := range []string{"postgres:ab@cd?SecretRest99@host", "postgres://postgres:ab@cd?SecretRest99@host", "postgres://postgres:ab/SecretRest99@host/x", "postgresql://u:p#SecretRest99@h:x/y"} {
			if _, err := postgres.Open(given); err != nil && strings.Contains(err.Error(), "SecretRest99") {
				return fmt.Errorf("the error is %w", err)
			}
		}
		return nil
	}})
	return list
}

// byClock are what a clock does that is wrong.
func byClock() (list []attack) {
	add := func(aim, what string, run func(*site) error, numbers ...int) {
		list = append(list, attack{attacker: brokenClock, aim: aim, what: what, run: run, numbers: numbers})
	}
	future := `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id, records)
		values ($1, 'daily', 'schedule', '2036-01-01 06:00Z', 1, 'succeeded', '2036-01-01 06:00Z', now(), '2036-01-01 06:01Z', $2, 1)`
	add(forge, "Dates one success 2036, before a run that dies.", func(s *site) error {
		s.sql(future, name, oldBackup)
		return s.noticed(s.claimed())
	}, 10)
	add(suppress, "Dates one success 2036; no backup is made for three days after it.", func(s *site) error {
		s.sql(future, name, oldBackup)
		run := s.failed()
		if err := s.noticed(run); err != nil {
			return err
		}
		if recovered := s.holds(`exists (select from auto_backup.incidents where recovered_at is not null)`); recovered {
			return errors.New("the success of 2036 has ended the incident")
		}
		return nil
	}, 10)
	add(double, "Ticks twice for the same due time, and again after the clock was set back.", func(s *site) error {
		run := s.backupRuns()
		for _, after := range []time.Duration{0, time.Second, time.Minute, -time.Second} {
			_ = s.asOwner(`select coalesce(auto_backup.dispatch($1, 'daily', $2)::text, '')`, name, s.due().Add(after))
		}
		s.settle()
		if n := s.text(`select count(*)::text from auto_backup.runs where due_at = $1`, s.due()); n != "1" {
			return fmt.Errorf("there are %s runs for one due time", n)
		}
		s.watch(10 * time.Minute)
		if state := s.state(run); state != "succeeded" {
			return fmt.Errorf("the run is %s", state)
		}
		return nil
	})
	add(readToken, "Sends a request that was signed 16 minutes ago, or will be in 16 minutes: the captured signature is worth nothing.", func(s *site) error {
		s.backupRuns()
		for _, age := range []time.Duration{16 * time.Minute, -16 * time.Minute} {
			body := fmt.Sprintf(`{"run_id":"00000000-0000-4000-8000-000000000001","backup":%q,"schedule":"daily","due_at":"2026-03-02T06:00:00Z","attempt":1,"sent_at":%q}`,
				name, time.Now().Add(-age).UTC().Format(time.RFC3339))
			if status, text := s.call(anon, http.MethodPost, function, body, "X-Backup-Signature", stack.Sign(s.token, body)); status != 401 || !strings.Contains(text, "request_expired") {
				return fmt.Errorf("it is answered by %d %s", status, text)
			}
		}
		return nil
	})
	add(exhaust, "Leaps ten years ahead: the watchdog does not make up for thousands of due times.", func(s *site) error {
		s.backupRuns()
		s.watch(10 * time.Minute)
		s.stopNet()
		s.watch(10 * 365 * 24 * time.Hour)
		if n := s.text(`select (count(*) <= 3)::text from auto_backup.runs`); n != "true" {
			return fmt.Errorf("there are %s runs", s.text(`select count(*)::text from auto_backup.runs`))
		}
		s.sql(`delete from net.http_request_queue`)
		return nil
	})
	add(spoof, "Leaps ten years ahead and back: there is no e-mail for each day.", func(s *site) error {
		s.backupRuns()
		s.watch(10 * time.Minute)
		s.stopNet()
		for _, at := range []time.Duration{10 * 365 * 24 * time.Hour, 20 * time.Minute, 30 * time.Minute} {
			s.watch(at)
		}
		if n := s.text(`select (count(*) <= 2)::text from auto_backup.incidents`); n != "true" {
			return errors.New("there are more incidents than kinds of them")
		}
		s.sql(`delete from net.http_request_queue`)
		return nil
	})
	add(mislead, "Dates one success 2036, while the last real run has failed.", func(s *site) error {
		s.sql(future, name, oldBackup)
		run := s.failed()
		s.watch(20 * time.Minute)
		if status := s.status(21 * time.Minute); status.Healthy() || status.LastSuccess != nil {
			return fmt.Errorf("the status is %s, and %s is %s", status.Summary, run, s.state(run))
		}
		s.settle()
		return nil
	}, 10)
	return list
}

// byState are what somebody reaches who edits a state.
func byState() []attack {
	return []attack{{attacker: editedState, aim: double, numbers: []int{18}, what: "Adds a secret of others to the secrets that the state names: an apply leaves it.", run: func(s *site) error {
		s.must(s.stack.SetSecret("STRIPE_KEY", canary))
		found, err := s.service.Observe(s.ctx, name, backup.Known{Managed: true, Secrets: []string{"STRIPE_KEY"}})
		s.must(err)
		if _, err := s.service.Apply(s.ctx, s.spec(), found, func(backup.Part) {}); err != nil {
			return err
		}
		if _, left := s.stack.SecretDigests()["STRIPE_KEY"]; !left {
			return errors.New("the secret of others is deleted")
		}
		return nil
	}}}
}

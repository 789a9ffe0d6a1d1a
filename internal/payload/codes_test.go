package payload_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestFunctionCodes proves that the deployed function knows what to say about
// every code that it reports, in the words of codes.json, and that it is not
// deployed again for other codes.
func TestFunctionCodes(t *testing.T) {
	t.Parallel()
	source := payload.Function(payload.FunctionConfig{})
	var deployed map[string]codes.Code
	if err := json.Unmarshal(source.Files["codes.json"], &deployed); err != nil {
		t.Fatal(err)
	}
	for name, code := range codes.All() {
		found, ok := deployed[name]
		if ok != code.ArisesAt(codes.Function) {
			t.Errorf("%s is deployed: %t", name, ok)
		}
		if ok && (found.Text != code.Text || !maps.Equal(found.SQLStates, code.SQLStates)) {
			t.Errorf("%s is deployed as %+v", name, found)
		}
	}
}

// TestFunctionImportsCodes proves that the function's own tests, and its type
// check, see the file of package codes and not a copy of it.
func TestFunctionImportsCodes(t *testing.T) {
	t.Parallel()
	target, err := os.Readlink("function/codes.json")
	if err != nil || target != "../../codes/codes.json" {
		t.Errorf("function/codes.json leads to %q, %v", target, err)
	}
}

// TestRefusals proves that every refusal has a status, and no other code one.
func TestRefusals(t *testing.T) {
	t.Parallel()
	statuses := readContract(t).Refusals
	for name, code := range codes.All() {
		if status, ok := statuses[name]; ok != code.ArisesAt(codes.Refusal) || ok && (status < 400 || status > 599) {
			t.Errorf("%s has the status %d in contract.json: %t", name, status, ok)
		}
		delete(statuses, name)
	}
	if len(statuses) > 0 {
		t.Errorf("codes.json lacks %v", statuses)
	}
}

// textCases are every code of a run with every SQLSTATE that has texts of its
// own, and codes without an entry.
func textCases() (cases [][2]string) {
	for name, code := range codes.All() {
		if code.OfRun() && name != codes.AnyStatus {
			cases = append(cases, [2]string{name, ""}, [2]string{name, "99999"})
			for state := range code.SQLStates {
				cases = append(cases, [2]string{name, state})
			}
		}
	}
	return append(cases, [2]string{"http_302", ""}, [2]string{"http_500", "57014"}, [2]string{"a_code_of_the_future", ""})
}

// testTexts proves that the database says of every code what codes.json says, in
// its functions and in the history; that what reaches the panel or an e-mail is
// one clean line in Portuguese; and that nothing foreign gets into HTML.
func (tdb *testDatabase) testTexts(t *testing.T) {
	s := tdb.newScenario(t)
	dirty := regexp.MustCompile(`[<>&\x00-\x1f]`)
	for n, c := range textCases() {
		code, state := c[0], c[1]
		want := codes.Lookup(code, state)
		got := one[map[string]string](t, tdb.owner, `select to_jsonb(c) - 'arises' from auto_backup.lookup($1, $2) c`, code, state)
		if (codes.Text{Meaning: got["meaning"], Remedy: got["remedy"], Reason: got["reason"], Advice: got["advice"]}) != want {
			t.Errorf("the database says of %v %v, want %+v", c, got, want)
		}
		seen := one[[]string](t, tdb.owner, `
			with run as (
				insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code, sqlstate)
				values ($1, 'texts', 'manual', now(), $2, 'failed', now(), now(), $3, nullif($4, '')) returning run_id
			)
			select array[run_id::text] from run`, s.backup, n+1, code, state)
		history := one[[]string](t, tdb.owner, `select array[what_happened, what_to_do] from auto_backup.history where run_id = $1::uuid`, seen[0])
		if !slices.Equal(history, []string{want.Meaning + ".", want.Remedy}) {
			t.Errorf("the history says of %v %q, want %+v", c, history, want)
		}
		for _, error := range []string{"", "motivo"} {
			reason := one[string](t, tdb.owner, `select auto_backup.reason($1, $2, $3)`, code, state, error)
			entry, known := codes.Find(code)
			wanted := want.Reason
			switch {
			case known && entry.ArisesAt(codes.Function) && error != "":
				wanted = error
			case !known && !strings.HasPrefix(code, "http_"):
				wanted += " (" + strings.TrimSuffix(code+": "+error, ": ") + ")"
			case error != "":
				wanted += " (" + error + ")"
			}
			if reason != wanted || dirty.MatchString(reason) || strings.HasSuffix(reason, ".") {
				t.Errorf("the reason for %v and %q is %q, want %q", c, error, reason, wanted)
			}
		}
	}
	foreign := "<script>alert('&')</script>\r\nX: y\x00"
	if got, want := one[string](t, tdb.owner, `select auto_backup.plain($1)`, strings.TrimRight(foreign, "\x00")), "‹script›alert('＆')‹/script› X: y"; got != want {
		t.Errorf("plain makes %q, want %q", got, want)
	}
	if got := one[string](t, tdb.owner, `select auto_backup.reason('backup_failed', null, $1)`, "a<b>\nc"); got != "a‹b› c" {
		t.Errorf("a foreign error becomes %q", got)
	}
	if got := one[string](t, tdb.owner, `select auto_backup.plain(repeat('é', 500))`); len([]rune(got)) != 200 {
		t.Errorf("plain leaves %d characters, want 200", len([]rune(got)))
	}
	if got, want := one[string](t, tdb.owner, `select auto_backup.local_time('2026-03-02T06:00:00Z', 'Nowhere/Else')`), "02/03/2026 às 06:00 (UTC)"; got != want {
		t.Errorf("an unknown zone gives %q, want %q", got, want)
	}
	if got, want := one[int](t, tdb.owner, `select count(*) from auto_backup.codes`), one[int](t, tdb.owner, `select count(*) from jsonb_object_keys((select objects -> 'codes' from auto_backup.installation))`); got != want || got < 30 {
		t.Errorf("%d rows are there, %d are noted", got, want)
	}
}

// testTextsLost proves that a failure is recorded and told to people also where
// somebody has emptied the table of the texts.
func (tdb *testDatabase) testTextsLost(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.exec(t, s.owner, `create table public.kept_codes as table auto_backup.codes; delete from auto_backup.codes`)
	defer s.exec(t, s.owner, `insert into auto_backup.codes table public.kept_codes; drop table public.kept_codes`)
	s.respond(s.dispatch("2 06:00"), reply{status: 404, headers: map[string]string{"sb-error-code": "NOT_FOUND"}})
	s.watch("2 06:10")
	s.want(
		"run 2 06:00 #1 schedule failed http_404 log:watchdog alert:pending",
		"incident failed 2 06:00 http_404 sent by watchdog calls:1",
		"system_logs auto_backup_error http_404 by watchdog alert:pending",
		"unsent alert",
	)
	if calls := s.alertCalls(); len(calls) != 1 || !strings.Contains(fmt.Sprint(calls[0]["message"]), "Motivo: (http_404: HTTP 404, NOT_FOUND). O que fazer: consulte auto_backup.history.") {
		t.Errorf("the alert says %v", calls)
	}
}

// testSQLState proves that the SQLSTATE that the function logged decides what
// people are told, and that nothing else in its place is kept.
func (tdb *testDatabase) testSQLState(t *testing.T) {
	for state, want := range map[string]string{"57014": "57014", "PGRST202": "PGRST202", "<b>": "", "570140": ""} {
		s := tdb.newScenario(t)
		s.change(installed, retrySetting("attempts", 0))
		run := s.dispatch("2 06:00")
		s.accept(run)
		s.fail(run, "rpc_http", `{"state": "not_delivered"}`)
		s.exec(t, s.owner, `update public.system_logs set context = signer.signed(type, context || jsonb_build_object('sqlstate', $2::text)) where context ->> 'run_id' = $1`, run, state)
		s.watch("2 06:10")
		if got := one[string](t, s.owner, `select coalesce(sqlstate, '') from auto_backup.history where run_id = $1::uuid`, run); got != want {
			t.Errorf("of %q the run history keeps %q, want %q", state, got, want)
		}
		message := fmt.Sprint(s.alertCalls()[0]["message"])
		if text := codes.Lookup("rpc_http", want); !strings.HasSuffix(message, "Motivo: motivo. O que fazer: "+text.Advice+".") {
			t.Errorf("of %q people are told %q, want %q", state, message, text.Advice)
		}
	}
}

package payload_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var updateNotices = flag.Bool("notices.update", false, "write the golden files of the messages")

// told is a message of the golden files: what it is about, and the columns that refer to
// it.
type told struct {
	name, event                 string
	run, incident, drill, place string
}

// pings and messages are those of a heartbeat and of webhooks.
var (
	pings = []told{
		{name: "start", event: "start", run: "1"}, {name: "success", event: "success", run: "2"}, {name: "fail", event: "fail", run: "1"},
	}
	messages = []told{
		{name: "failed", event: "failed", run: "1", incident: "1"},
		{name: "failed, interrupted", event: "failed", run: "3", incident: "2"},
		{name: "failed, with a code of its own", event: "failed", run: "4", incident: "3"},
		{name: "overdue", event: "overdue", incident: "4"},
		{name: "drill", event: "drill", incident: "5"},
		{name: "offsite", event: "offsite", incident: "6", place: "r2"},
		{name: "fidelity", event: "fidelity", run: "2", drill: "1"},
		{name: "recovered", event: "recovered", run: "2", incident: "2"},
		{name: "recovered, drill", event: "recovered", incident: "5"},
		{name: "recovered, offsite", event: "recovered", incident: "6", place: "r2"},
	}
)

// toldRows are a backup with something of each kind to tell. What others have written is
// the parameter.
const toldRows = `
	insert into auto_backup.settings (backup, document, owner, created_at, updated_at)
	values ('told', $1, 'test', '2026-03-01 12:00Z', '2026-03-01 12:00Z');
	insert into auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code, sqlstate, error, backup_id, records)
	values
	('00000000-0000-4000-8000-000000000001', 'told', 'daily', 'schedule', '2026-03-02 06:00Z', 1, 'failed', '2026-03-02 06:00Z', '2026-03-02 06:01Z', 'rpc_http', '57014', $2, null, null),
	('00000000-0000-4000-8000-000000000002', 'told', 'daily', 'schedule', '2026-03-03 06:00Z', 1, 'succeeded', '2026-03-03 06:00Z', '2026-03-03 06:01Z', null, null, null, '` + backupID + `', 321),
	('00000000-0000-4000-8000-000000000003', 'told', 'manual', 'manual', '2026-03-02 09:30Z', 1, 'failed', '2026-03-02 09:30Z', '2026-03-02 09:42Z', 'interrupted', null, null, null, null),
	('00000000-0000-4000-8000-000000000004', 'told', 'daily', 'retry', '2026-03-02 06:00Z', 2, 'failed', '2026-03-02 06:11Z', '2026-03-02 06:12Z', 'sem_memoria', null, $2, null, null);
	insert into auto_backup.incidents (incident_id, backup, kind, schedule, destination, due_at, run_id, code, error, opened_at, alert_state, recovered_at, recovered_by)
	overriding system value values
	(9000001, 'told', 'failed', 'daily', null, '2026-03-02 06:00Z', '00000000-0000-4000-8000-000000000001', 'rpc_http', $2, '2026-03-02 06:10Z', 'off', null, null),
	(9000002, 'told', 'failed', 'manual', null, '2026-03-02 09:30Z', '00000000-0000-4000-8000-000000000003', 'interrupted', null, '2026-03-02 09:50Z', 'off', '2026-03-03 06:01Z', '00000000-0000-4000-8000-000000000002'),
	(9000003, 'told', 'failed', 'other', null, '2026-03-02 06:00Z', '00000000-0000-4000-8000-000000000004', 'sem_memoria', $2, '2026-03-02 06:20Z', 'off', null, null),
	(9000004, 'told', 'overdue', null, null, '2026-03-02 16:00Z', null, 'overdue', 'There has been none yet.', '2026-03-02 16:10Z', 'off', null, null),
	(9000005, 'told', 'drill', null, null, '2026-03-08 07:30Z', null, 'drill_unique', $2, '2026-03-08 07:30Z', 'off', '2026-03-15 07:31Z', null),
	(9000006, 'told', 'offsite', null, 'r2', '2026-03-03 06:20Z', null, 'offsite_denied', $2, '2026-03-03 06:20Z', 'off', '2026-03-04 06:20Z', null);
	insert into auto_backup.drills (drill_id, backup, trigger, state, due_at, started_at, finished_at, tables)
	overriding system value values (9000001, 'told', 'schedule', 'successful', '2026-03-08 07:30Z', '2026-03-08 07:30Z', '2026-03-08 07:31Z', $3)`

// tell writes the rows and sends every message in every form and language. It returns what
// is queued in pg_net, by form, in the order of the messages with pt-BR before en.
func (tdb *testDatabase) tell(t *testing.T, foreign, table string) map[string][]queuedRequest {
	t.Helper()
	document := settings()
	webhooks := map[string]any{}
	for _, form := range []string{"slack", "discord", "teams", "generic"} {
		for _, language := range []string{"pt-BR", "en"} {
			webhooks[form+strings.ToLower(language[:2])] = map[string]any{"form": form, "language": language, "events": []string{}, "signed": false}
		}
	}
	document["webhooks"] = webhooks
	tables := []map[string]any{
		{"table": table, "compared": 40, "columns_lost": []map[string]any{{"name": "likes", "rows": 12}, {"name": "parent_id", "rows": 3}}, "rows_missing": 0},
		{"table": "public.users", "compared": 4, "columns_lost": []any{}, "rows_missing": 2},
	}
	for _, statement := range strings.Split(toldRows, ";\n") {
		var args []any
		for i, arg := range []any{document, foreign, tables} {
			if name := fmt.Sprintf("$%d", i+1); strings.Contains(statement, name) {
				statement = strings.ReplaceAll(statement, name, fmt.Sprintf("$%d", len(args)+1))
				args = append(args, arg)
			}
		}
		tdb.exec(t, tdb.owner, statement, args...)
	}
	t.Cleanup(func() { tdb.exec(t, tdb.owner, `delete from auto_backup.runs where backup = 'told'`) })
	t.Cleanup(func() { tdb.exec(t, tdb.owner, `delete from auto_backup.settings where backup = 'told'`) })
	s := &scenario{T: t, testDatabase: tdb, backup: "told", document: document}
	s.secret("/heartbeat", heartbeatURL)
	t.Cleanup(func() { tdb.exec(t, tdb.owner, `delete from vault.secrets where name like 'told/%'`) })
	for key := range webhooks {
		s.secret("/webhook/"+key, webhookURL)
	}

	sent := map[string][]queuedRequest{}
	send := func(form, channel string, m told) {
		id := func(prefix, number string) any {
			if number == "" {
				return nil
			}
			return prefix + number
		}
		tdb.exec(t, tdb.admin, `delete from net.http_request_queue where headers ? 'webhook-id'`)
		tdb.exec(t, tdb.owner, `delete from auto_backup.notices where backup = 'told'`)
		notice := one[int64](t, tdb.owner, `
			insert into auto_backup.notices (backup, message_id, channel, event, run_id, incident_id, drill_id, destination, happened_at, state, next_at)
			select 'told', '00000000-0000-4000-8000-00000000000a', $1, $2::text, $3, $4::text::bigint, $5::text::bigint, nullif($6, ''), case when $2 = 'recovered' then i.recovered_at else '2026-03-02 06:01Z' end, 'waiting', now()
			from (values ($4::text::bigint)) as v (id) left join auto_backup.incidents i on i.incident_id = v.id
			returning notice_id`,
			channel, m.event, id("00000000-0000-4000-8000-00000000000", m.run), id("900000", m.incident), id("900000", m.drill), m.place)
		if state := one[string](t, tdb.owner, `select auto_backup.notify_post($1, '2026-03-02 06:10Z')`, notice); state != "sent" {
			t.Fatalf("%s of %s is %s: %v", m.name, channel, state, s.notices())
		}
		requests := s.outbox()
		if len(requests) != 1 {
			t.Fatalf("%s of %s: %d requests", m.name, channel, len(requests))
		}
		sent[form] = append(sent[form], requests[0])
	}
	for _, form := range []string{"healthchecks", "sentry", "cronitor", "plain"} {
		for _, m := range pings {
			for _, language := range []string{"pt-BR", "en"} {
				document["heartbeat"] = map[string]any{"form": form, "language": language}
				s.exec(t, s.owner, `update auto_backup.settings set document = $2 where backup = $1`, s.backup, document)
				if form != "plain" || m.event == "success" {
					send(form, "heartbeat", m)
				}
			}
		}
	}
	for _, form := range []string{"slack", "discord", "teams", "generic"} {
		for _, m := range messages {
			for _, language := range []string{"pt-BR", "en"} {
				send(form, "webhook/"+form+strings.ToLower(language[:2]), m)
			}
		}
	}
	return sent
}

// testNoticeContents proves what is sent to each form of a channel about each event in
// each language: the golden files have it.
func (tdb *testDatabase) testNoticeContents(t *testing.T) {
	sent := tdb.tell(t, "public.articles: articles_slug_key (3)", "public.articles")
	for _, form := range slices.Sorted(maps.Keys(sent)) {
		requests := sent[form]
		var b bytes.Buffer
		all := messages
		if requests[0].URL[:len(heartbeatURL)] == heartbeatURL {
			all = pings
		}
		if form == "plain" {
			all = pings[1:2]
		}
		for i, request := range requests {
			fmt.Fprintf(&b, "== %s, %s\n%s %s\n", all[i/2].name, []string{"pt-BR", "en"}[i%2], request.Method, request.URL)
			for _, name := range slices.Sorted(maps.Keys(request.Headers)) {
				fmt.Fprintf(&b, "%s: %s\n", name, request.Headers[name])
			}
			if request.Body != nil {
				encoder := json.NewEncoder(&b)
				encoder.SetIndent("", "  ")
				encoder.SetEscapeHTML(false)
				var body any
				if err := json.Unmarshal([]byte(*request.Body), &body); err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				if err := encoder.Encode(body); err != nil {
					t.Fatal(err)
				}
			}
			b.WriteString("\n")
		}
		file := filepath.Join("testdata", "notices", form+".txt")
		if *updateNotices {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != string(want) {
			t.Errorf("%s has changed; look at it with -notices.update and git diff", file)
		}
	}
}

// testNoticeForeignTexts proves that a text which others have written breaks neither the
// JSON nor the markup of a chat, mentions nobody, and makes no message larger than its
// receiver takes.
func (tdb *testDatabase) testNoticeForeignTexts(t *testing.T) {
	hostile := "@everyone <!channel> <@U1> `x` ```y``` **b** [a](https://evil.test) \"},\n{\u202e\x01 " + strings.Repeat("\U0001F600", 4000)
	for form, requests := range tdb.tell(t, hostile, "public.\"`@here`\"") {
		for i, request := range requests {
			if len(request.URL) > 4000 {
				t.Errorf("%s %d: the URL has %d bytes", form, i, len(request.URL))
			}
			if request.Body == nil {
				continue
			}
			if limit := map[string]int{"healthchecks": 10_000, "slack": 40_000, "teams": 28_000, "generic": 20_000}[form]; limit > 0 && len(*request.Body) > limit {
				t.Errorf("%s %d has %d bytes, the limit is %d", form, i, len(*request.Body), limit)
			}
			var body any
			if err := json.Unmarshal([]byte(*request.Body), &body); err != nil {
				t.Fatalf("%s %d: %v in %s", form, i, err, *request.Body)
			}
			var text string
			switch form {
			case "slack":
				text = body.(map[string]any)["text"].(string)
			case "discord":
				text = body.(map[string]any)["content"].(string)
				if n := utf8.RuneCountInString(text); n > 2000 {
					t.Errorf("discord %d has %d characters", i, n)
				}
				if mentions := fmt.Sprint(body.(map[string]any)["allowed_mentions"]); mentions != "map[parse:[]]" {
					t.Errorf("discord %d may mention %s", i, mentions)
				}
			default:
				if strings.ContainsAny(*request.Body, "<>") {
					t.Errorf("%s %d has markup: %s", form, i, *request.Body)
				}
				continue
			}
			if strings.ContainsAny(text, "@<>") {
				t.Errorf("%s %d can mention somebody: %s", form, i, text)
			}
			for line := range strings.SplitSeq(text, "\n") {
				outside := ""
				for n, part := range strings.Split(line, "`") {
					if n%2 == 0 {
						outside += part
					}
				}
				if strings.Count(line, "`")%2 != 0 || strings.Contains(outside, "everyone") || strings.Contains(outside, "evil") || strings.Contains(outside, "**") {
					t.Errorf("%s %d has a foreign text outside its code span: %s", form, i, line)
				}
			}
		}
	}
}

package facts

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestChannels proves on a real server what is read of the heartbeat and of the webhooks:
// of each channel of the settings the newest message that was not superseded, the one that
// arrived last and those that were given up since; nothing of other channels and backups,
// and nothing after the time that was asked for; nothing at all without the table. Of the
// secrets it is when they were written, and what the function says of them.
func TestChannels(t *testing.T) {
	t.Parallel()
	p := start(t)
	reader := p.open(p.ReadOnlyDatabaseURL, "")
	read := func(at string) OfBackup {
		t.Helper()
		request := Request{Parts: []Part{"channels", "channel_secrets", "channel_digests"}, Backups: []backup.Name{"one"}, Parameters: map[string]any{}}
		if at != "" {
			request.Parameters["at"] = at
		}
		d, err := p.ask(reader, request)
		if err != nil {
			t.Fatal(err)
		}
		return d.Each["one"]
	}
	if d := read(""); d.Channels != nil || d.ChannelDigests != nil || len(d.ChannelSecrets) != 0 {
		t.Errorf("without a dispatcher, read is %+v", d)
	}
	p.exec("set role postgres; create schema auto_backup; " + payload.LoadDispatcher().Install() + "; reset role")
	p.exec(`
		set role postgres;
		insert into auto_backup.settings (backup, document, owner) values ('one', '{}', 'test'), ('two', '{"heartbeat": {"form": "plain"}}', 'test');
		select vault.create_secret('https://c4n4ry', 'one/heartbeat'), vault.create_secret('https://c4n4ry', 'one/webhook/ops'),
			vault.create_secret('whsec_c4n4ry', 'one/webhook-secret/ops'), vault.create_secret('x', 'one/token'), vault.create_secret('x', 'two/heartbeat');
		reset role;
		update vault.secrets set updated_at = '2026-11-19T12:00Z'`)
	for _, document := range []string{"{}", `{"heartbeat": null, "webhooks": null}`, `{"heartbeat": 1, "webhooks": []}`, `{"webhooks": {"ops": 1}}`} {
		p.exec("update auto_backup.settings set document = '" + document + "' where backup = 'one'")
		if d := read(""); len(d.Channels) != 0 {
			t.Errorf("%s: the channels are %+v", document, d.Channels)
		}
	}
	p.exec(`
		update auto_backup.settings set document = '{"heartbeat": {"form": "healthchecks"}, "webhooks": {"ops": {"form": "generic"}, "new": {"form": "slack"}}}' where backup = 'one';
		insert into auto_backup.notices (backup, channel, event, run_id, incident_id, happened_at, state, attempts, next_at, http_status, error, finished_at)
		select v.backup, v.channel, v.event, case when v.channel = 'heartbeat' then gen_random_uuid() end, case when v.channel <> 'heartbeat' then row_number() over (order by v.at) end, v.at, v.state, v.attempts, v.at, v.status, v.error, v.ended::timestamptz
		from (values
			('one', 'heartbeat', 'success', timestamptz '2026-11-20T03:01Z', 'delivered', 1, 200, null, '2026-11-20T03:02Z'),
			('one', 'heartbeat', 'start', '2026-11-21T03:00Z', 'not_delivered', 3, 404, 'not found', '2026-11-21T03:30Z'),
			('one', 'heartbeat', 'fail', '2026-11-21T03:05Z', 'not_delivered', 8, null, 'timed out', '2026-11-21T04:30Z'),
			('one', 'heartbeat', 'success', '2026-11-22T03:01Z', 'waiting', 2, 503, 'busy', null),
			('one', 'heartbeat', 'success', '2026-11-22T04:01Z', 'superseded', 1, null, null, '2026-11-22T04:02Z'),
			('one', 'webhook/ops', 'failed', '2026-11-20T03:01Z', 'not_delivered', 3, 301, null, '2026-11-20T03:30Z'),
			('one', 'webhook/ops', 'recovered', '2026-11-21T03:01Z', 'delivered', 2, 204, null, '2026-11-21T03:12Z'),
			('one', 'webhook/old', 'failed', '2026-11-22T03:01Z', 'delivered', 1, 200, null, '2026-11-22T03:02Z'),
			('two', 'heartbeat', 'success', '2026-11-22T05:01Z', 'delivered', 1, 200, null, '2026-11-22T05:02Z')
		) as v (backup, channel, event, at, state, attempts, status, error, ended)`)
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	// As much as what it asks for is read of each.
	notice := func(event, happened, state string, attempts, status int64, why, next, finished string) *notify.Notice {
		n := &notify.Notice{Event: event, HappenedAt: at(happened), State: state, Attempts: attempts, HTTPStatus: status, Error: why}
		if next != "" {
			n.NextAt = at(next)
		}
		if finished != "" {
			n.FinishedAt = at(finished)
		}
		return n
	}
	const first, failed, began = "2026-11-20T03:01:00Z", "2026-11-21T03:05:00Z", "2026-11-21T03:00:00Z"
	compare := func(moment string, want map[string]notify.Notices) {
		t.Helper()
		got := read(moment).Channels
		for _, n := range got {
			for _, one := range []*notify.Notice{n.Last, n.Delivered, n.Lost} {
				if one != nil {
					one.HappenedAt, one.NextAt, one.FinishedAt = one.HappenedAt.UTC(), one.NextAt.UTC(), one.FinishedAt.UTC()
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			said, err := json.MarshalIndent(got, "", "\t")
			t.Errorf("at %q, read is %s, %v", moment, said, err)
		}
	}
	taken := notice("recovered", "2026-11-21T03:01:00Z", notify.NoticeDelivered, 2, 204, "", "", "2026-11-21T03:12:00Z")
	last := *taken
	last.NextAt = at("2026-11-21T03:01:00Z")
	compare("2026-11-22T12:00:00Z", map[string]notify.Notices{
		"heartbeat": {
			Last:      notice("success", "2026-11-22T03:01:00Z", notify.NoticeWaiting, 2, 503, "busy", "2026-11-22T03:01:00Z", ""),
			Delivered: notice("success", first, notify.NoticeDelivered, 1, 200, "", "", "2026-11-20T03:02:00Z"),
			Lost:      notice("fail", failed, notify.NoticeLost, 8, 0, "timed out", "", "2026-11-21T04:30:00Z"),
			Losses:    2,
		},
		"webhook/ops": {Last: &last, Delivered: taken},
		"webhook/new": {},
	})
	compare("2026-11-21T03:04:00Z", map[string]notify.Notices{
		"heartbeat": {
			Last:      notice("start", began, notify.NoticeLost, 3, 404, "not found", began, "2026-11-21T03:30:00Z"),
			Delivered: notice("success", first, notify.NoticeDelivered, 1, 200, "", "", "2026-11-20T03:02:00Z"),
		},
		"webhook/ops": {
			Last: &last,
			Lost: notice("failed", first, notify.NoticeLost, 3, 301, "", "", "2026-11-20T03:30:00Z"), Losses: 1,
		},
		"webhook/new": {},
	})

	secrets := read("").ChannelSecrets
	for _, name := range []string{"one/heartbeat", "one/webhook/ops", "one/webhook-secret/ops"} {
		if !secrets[name].Equal(at("2026-11-19T12:00:00Z")) {
			t.Errorf("%s was written at %s", name, secrets[name])
		}
	}
	if len(secrets) != 3 {
		t.Errorf("the secrets are %v", secrets)
	}
	// Whatever the function is like, its answer is read, and only that of one which is
	// the owner's.
	p.exec(`
		set role postgres;
		create or replace function auto_backup.channel_digests(backup text) returns jsonb language sql stable security definer set search_path = ''
		as $$ select '{"one/heartbeat": "ab", "one/webhook/ops": null}'::jsonb $$;
		grant usage on schema auto_backup to supabase_read_only_user;
		grant execute on function auto_backup.channel_digests(text) to supabase_read_only_user`)
	if digests := read("").ChannelDigests; len(digests) != 2 || digests["one/heartbeat"] != "ab" || digests["one/webhook/ops"] != "" {
		t.Errorf("the digests are %v", digests)
	}
	p.exec("alter function auto_backup.channel_digests(text) security invoker")
	if d := read(""); d.ChannelDigests != nil {
		t.Errorf("of a function that runs with the reader's rights, the digests are %v", d.ChannelDigests)
	}
	p.exec("drop table auto_backup.notices cascade")
	if d := read(""); d.Channels != nil || len(d.ChannelSecrets) != 3 {
		t.Errorf("without the table, read is %+v", d)
	}
}

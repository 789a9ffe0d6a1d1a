package payload_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

var histories = flag.Int("histories", 5000, "how many random histories testRetained compares")

// testRetained proves that the database keeps the same backups as the provider says,
// whatever the history, the policy and the time zone, with and without summer time.
func (tdb *testDatabase) testRetained(t *testing.T) {
	type history struct {
		Times    []time.Time      `json:"times"`
		Policy   retention.Policy `json:"policy"`
		Zone     string           `json:"zone"`
		Restored *time.Time       `json:"restored"`
	}
	zones := map[string]*time.Location{}
	for _, name := range []string{"UTC", "America/Sao_Paulo", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		location, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones[name] = location
	}
	names := slices.Sorted(maps.Keys(zones))
	random := rand.New(rand.NewPCG(3, 4))
	number := func() int64 { return max(0, int64(random.IntN(9)-3)) }
	removed, restored := 0, 0
	for left := *histories; left > 0; left -= 1000 {
		batch, wants := []history{}, [][]time.Time{}
		for range min(left, 1000) {
			h := history{Times: []time.Time{}, Zone: names[random.IntN(len(names))]}
			at := time.Date(2014+random.IntN(12), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
			for range random.IntN(40) {
				at = at.Add(time.Duration([]int{0, 6, 24, 24, 24, 48, 24 * 8, 24 * 40}[random.IntN(8)])*time.Hour + time.Duration(random.IntN(90))*time.Minute)
				h.Times = append(h.Times, at)
			}
			random.Shuffle(len(h.Times), func(i, j int) { h.Times[i], h.Times[j] = h.Times[j], h.Times[i] })
			h.Policy = retention.Policy{KeepLast: number(), Daily: number(), Weekly: number(), Monthly: number(), Yearly: number()}
			var proven time.Time
			if len(h.Times) > 0 && random.IntN(3) > 0 {
				proven = h.Times[random.IntN(len(h.Times))]
				h.Restored = &proven
			}
			want := h.Policy.Keep(h.Times, zones[h.Zone], proven)
			removed += len(h.Times) - len(want)
			if len(want) > len(h.Policy.Keep(h.Times, zones[h.Zone], time.Time{})) {
				restored++
			}
			batch, wants = append(batch, h), append(wants, want)
		}
		type answer struct{ Kept, Again []time.Time }
		got, err := pgx.CollectRows(query(t, tdb.owner, `
			select k.kept, auto_backup.retained(k.kept, h.policy, h.zone, h.restored)
			from jsonb_array_elements($1::jsonb) with ordinality as e (value, place)
			cross join lateral jsonb_to_record(e.value) as h (times timestamptz[], policy jsonb, zone text, restored timestamptz)
			cross join lateral (select auto_backup.retained(h.times, h.policy, h.zone, h.restored) as kept offset 0) as k
			order by e.place`, batch), pgx.RowToStructByPos[answer])
		if err != nil || len(got) != len(batch) {
			t.Fatalf("%d answers about %d histories: %v", len(got), len(batch), err)
		}
		for i, h := range batch {
			if !slices.EqualFunc(got[i].Kept, wants[i], time.Time.Equal) {
				t.Fatalf("%+v:\nthe database keeps %v\nthe provider keeps %v", h, got[i].Kept, wants[i])
			}
			if !slices.EqualFunc(got[i].Again, wants[i], time.Time.Equal) {
				t.Fatalf("%+v: of what it keeps, the database keeps %v", h, got[i].Again)
			}
		}
	}
	if removed < *histories || restored < *histories/100 {
		t.Errorf("only %d backups were to be removed, and %d kept only because a drill has restored them", removed, restored)
	}
	for _, policy := range []string{`{}`, `{"keep_last": 0, "daily": null}`} {
		if got := one[int](t, tdb.owner, `select cardinality(auto_backup.retained(array[now(), now() - interval '1 day'], $1, 'UTC'))`, policy); got != 1 {
			t.Errorf("%s keeps %d of two", policy, got)
		}
	}
}

// storedBackup is a backup that testRetainMonths has made.
type storedBackup struct {
	id             string
	at             time.Time
	stored, proven bool
}

// testRetainMonths proves over random months, in which runs and drills fail and somebody
// else deletes backups, that each tick removes exactly the backup that the rule names, or
// nothing while anything is wrong; that the newest backup that a drill has restored stays;
// and that no table has a row of a removed backup, or one that was touched otherwise.
func (tdb *testDatabase) testRetainMonths(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	removals, refusals := 0, map[string]int{}
	for range 25 {
		s := tdb.newScenario(t)
		schema := strings.ReplaceAll(s.backup, "-", "_")
		s.exec(t, s.owner, "create schema "+schema)
		s.exec(t, s.owner, strings.ReplaceAll(`
			create table shop.backup_a (backup_id uuid not null, n int);
			create index on shop.backup_a (backup_id);
			create table shop.backup_b (backup_id text not null, n int) partition by list (n);
			create table shop.backup_b_1 partition of shop.backup_b for values in (1);
			create table shop.backup_b_2 partition of shop.backup_b default;
			create table shop.kept (backup uuid, n int);
			insert into shop.kept select gen_random_uuid(), n from generate_series(1, 9) n;
			insert into shop.backup_a select gen_random_uuid(), n from generate_series(1, 9) n;
			insert into shop.backup_b select gen_random_uuid(), n from generate_series(1, 9) n;`, "shop.", schema+"."))
		policy := retention.Policy{KeepLast: int64(random.IntN(4)), Daily: int64(random.IntN(5)), Weekly: int64(random.IntN(3)), Monthly: int64(random.IntN(2))}
		s.change(installed, func(document map[string]any) {
			document["drill"] = drillSetting(drilled(schema, "a"), drilled(schema, "b"), drilled(schema, "gone"), map[string]any{"live": []string{schema, "a"}, "copy": []string{schema, "kept"}})
			document["retention"] = policy
		})
		untouched := func() string {
			return one[string](t, s.owner, strings.ReplaceAll(`select md5(string_agg(r.row, ' ' order by r.row)) from (
				select 'kept ' || xmin || k::text from shop.kept k
				union all select 'a ' || xmin || a::text from shop.backup_a a where backup_id not in (select backup_id from auto_backup.runs where backup_id is not null)
				union all select 'b ' || xmin || b::text from shop.backup_b b where backup_id not in (select backup_id::text from auto_backup.runs where backup_id is not null)
			) as r (row)`, "shop.", schema+"."))
		}
		before := untouched()
		held := func(table string) string {
			return one[string](t, s.owner, `select coalesce(string_agg(distinct b.backup_id::text, ' ' order by b.backup_id::text), '') from `+schema+`.`+table+` b
				inner join auto_backup.runs r on r.backup_id::text = b.backup_id::text`)
		}

		var (
			backups   []*storedBackup
			succeeded bool      // the latest run
			success   time.Time // the newest
			drill     string    // the state of the newest drill with a result
			drilledAt time.Time // when it began
			restored  *storedBackup
		)
		day := moment(t, "2 06:00")
		tick := func(at time.Time) {
			var times []time.Time
			var proven time.Time
			for _, b := range backups {
				if b.stored {
					times = append(times, b.at)
					if b.proven {
						proven = b.at
					}
				}
			}
			var surplus *storedBackup
			kept := policy.Keep(times, saoPaulo, proven)
			for _, b := range slices.Backward(backups) {
				if b.stored && !slices.ContainsFunc(kept, b.at.Equal) {
					surplus = b
				}
			}
			want := ""
			switch {
			case !succeeded:
				want = "the latest run did not succeed"
			case at.Sub(success) > 28*time.Hour:
				want = "the latest backup is too old"
			case drill != "successful":
				want = "the latest restore drill was not successful"
			case at.Sub(drilledAt) > 8*24*time.Hour:
				want = "the latest restore drill is too old"
			case !restored.stored:
				want = "the backup that the latest drill restored is gone"
			case surplus == nil:
				want = "every backup is kept"
			}
			if want != "" {
				refusals[want]++
			} else {
				want = surplus.id
				surplus.stored = false
				removals++
			}
			if got := one[string](t, s.owner, `select coalesce(r ->> 'skipped', r ->> 'backup_id', r::text) from auto_backup.retain($1, $2) r`, s.backup, at); got != want {
				t.Fatalf("at %v with %+v: %s, want %s", at, policy, got, want)
			}
		}
		for range 40 {
			day = day.AddDate(0, 0, 1)
			switch random.IntN(8) {
			case 0: // nothing is due
			case 1:
				succeeded = false
				s.exec(t, s.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code) values ($1, 'daily', 'schedule', $2, 1, 'failed', $2, $2, 'internal')`, s.backup, day)
			default:
				succeeded, success = true, day
				b := &storedBackup{at: day, stored: true}
				b.id = one[string](t, s.owner, strings.ReplaceAll(`with m as (select gen_random_uuid() as id),
					a as (insert into shop.backup_a select m.id, n from m, generate_series(1, 3) n),
					b as (insert into shop.backup_b select m.id, n from m, generate_series(1, 3) n)
					select id::text from m`, "shop.", schema+"."))
				s.exec(t, s.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id) values ($1, 'daily', 'schedule', $2, 1, 'succeeded', $2, $2, $3::uuid)`, s.backup, day, b.id)
				backups = append(backups, b)
			}
			if random.IntN(3) == 0 && len(backups) > 0 {
				newest, at := backups[len(backups)-1], day.Add(time.Hour)
				state := []string{"successful", "successful", "successful", "failed", "timed_out", "skipped"}[random.IntN(6)]
				if state == "successful" && !newest.stored {
					state = "failed"
				}
				s.exec(t, s.owner, `insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, backup_id, code, tables)
					values ($1, 'manual', $2, $3, $3, $4::uuid, case when $2 <> 'successful' then 'drill_check' end, jsonb_build_array(
						jsonb_build_object('copy', $5 || '.backup_a', 'rows', 3), jsonb_build_object('copy', $5 || '.backup_b', 'rows', 3), jsonb_build_object('copy', $5 || '.empty', 'rows', 0)))`,
					s.backup, state, at, newest.id, schema)
				if state != "skipped" {
					drill, drilledAt = state, at
				}
				if state == "successful" {
					newest.proven, restored = true, newest
				}
			}
			if random.IntN(15) == 0 && len(backups) > 0 {
				// As somebody does who cleans up by hand.
				b := backups[random.IntN(len(backups))]
				b.stored = false
				s.exec(t, s.owner, `delete from `+schema+`.backup_a where backup_id = '`+b.id+`'; delete from `+schema+`.backup_b where backup_id = '`+b.id+`'`)
			}
			for n := range random.IntN(4) {
				tick(day.Add(time.Hour + time.Duration(20+60*n)*time.Minute))
			}
		}
		var want []string
		for _, b := range backups {
			if b.stored {
				want = append(want, b.id)
			}
		}
		if a, b, want := held("backup_a"), held("backup_b"), sorted(want...); a != want || b != want {
			t.Fatalf("with %+v the tables hold\n%s and\n%s, want\n%s", policy, a, b, want)
		}
		if untouched() != before {
			t.Fatalf("with %+v, rows of others have changed", policy)
		}
		s.exec(t, s.admin, "drop schema "+schema+" cascade")
	}
	t.Logf("%d removals; %v", removals, refusals)
	if removals < 100 || len(refusals) < 6 {
		t.Errorf("only %d removals, and %v", removals, refusals)
	}
}

// testRetain proves that one backup at a time is removed, from all its tables and no
// other row with it, the oldest first and only what the policy does not keep; that
// nothing is removed while anything is wrong, where other code could run, or while a
// table is locked; and that the run history says what was removed.
func (tdb *testDatabase) testRetain(t *testing.T) {
	s, schema := tdb.newShop(t)
	keep := func(policy any) {
		s.change(installed, func(document map[string]any) { document["retention"] = policy })
	}
	retain := func() string {
		t.Helper()
		return one[string](t, s.owner, `select coalesce(r ->> 'skipped', (r ->> 'removed') || ' ' || left(r ->> 'made_at', 10)) from auto_backup.retain($1, $2) r`, s.backup, moment(t, "20 08:00"))
	}
	stored := func() int {
		return one[int](t, s.owner, `select count(*) from (select backup_id from `+schema+`.backup_orders union select backup_id from `+schema+`.backup_customers) b`)
	}
	var ids []string
	for _, day := range []string{"16", "17", "18", "19"} {
		ids = append(ids, s.copyShop(schema))
		s.succeeded(day+" 06:00", ids[len(ids)-1])
	}
	others := s.copyShop(schema) // nobody knows who made it
	both := `{"` + schema + `.backup_orders": 40, "` + schema + `.backup_customers": 40} `
	check := func(what, got, want string, left int) {
		t.Helper()
		if n := stored(); got != want || n != left {
			t.Errorf("%s: %s with %d backups left, want %s with %d", what, got, n, want, left)
		}
	}
	check("no policy", retain(), "no policy", 5)
	keep(map[string]any{"keep_last": 2})
	check("no drill yet", retain(), "the latest restore drill was not successful", 5)
	s.drill("19 07:00", "manual")
	check("the oldest", retain(), both+"2026-03-16", 4)
	check("the next one", retain(), both+"2026-03-17", 3)
	check("the rest", retain(), "every backup is kept", 3)
	if got := one[string](t, s.owner, `select string_agg(backup_id::text, ' ' order by backup_id::text) from (select distinct backup_id from `+schema+`.backup_orders) b`); got != sorted(ids[2], ids[3], others) {
		t.Errorf("left are %s", got)
	}

	keep(map[string]any{"keep_last": 1})
	s.exec(t, s.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code) values ($1, 'daily', 'schedule', $2, 1, 'failed', $2, $2, 'internal')`, s.backup, moment(t, "20 06:00"))
	check("a night that failed", retain(), "the latest run did not succeed", 3)
	s.exec(t, s.owner, `delete from auto_backup.runs where backup = $1 and state = 'failed'`, s.backup)
	s.exec(t, s.owner, `update auto_backup.drills set state = 'failed', code = 'drill_check' where backup = $1`, s.backup)
	check("a drill that failed", retain(), "the latest restore drill was not successful", 3)
	s.exec(t, s.owner, `update auto_backup.drills set state = 'successful', code = null where backup = $1`, s.backup)
	s.exec(t, s.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at) values ($1, 'daily', 'manual', $2, 1, 'running', $2)`, s.backup, moment(t, "20 07:50"))
	check("a backup that is being made", retain(), "a backup is being made", 3)
	s.exec(t, s.owner, `delete from auto_backup.runs where backup = $1 and state = 'running'`, s.backup)

	s.exec(t, s.owner, `insert into auto_backup.incidents (backup, kind, due_at, code, opened_at, alert_state) values ($1, 'overdue', $2, 'overdue', $2, 'off')`, s.backup, moment(t, "20 07:00"))
	check("an incident", retain(), "an incident is open", 3)
	s.exec(t, s.owner, `delete from auto_backup.incidents where backup = $1`, s.backup)
	s.change(installed, func(document map[string]any) { document["drill"].(map[string]any)["enabled"] = false })
	check("no drills", retain(), "restore drills are switched off", 3)
	s.change(installed, func(document map[string]any) { document["drill"].(map[string]any)["enabled"] = true })
	s.exec(t, s.owner, `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id) values ('another', 'daily', 'manual', $1, 1, 'succeeded', $1, $1, $2::uuid)`, moment(t, "18 06:00"), ids[2])
	check("a backup that another one has reported", retain(), "every backup is kept", 3)
	s.exec(t, s.owner, `delete from auto_backup.runs where backup = 'another'`)
	for _, attached := range []struct{ what, attach, remove, says string }{
		{"a trigger", `create trigger spy before delete on shop.backup_orders for each row execute function shop.spy()`,
			`drop trigger spy on shop.backup_orders`, `the trigger spy of shop.backup_orders`},
		{"a trigger of a part", `create table shop.part () inherits (shop.backup_orders); create trigger spy before delete on shop.part for each row execute function shop.spy()`,
			`drop table shop.part`, `the trigger spy of shop.part`},
		{"a rule", `create rule spy as on delete to shop.backup_orders do also select 1`,
			`drop rule spy on shop.backup_orders`, `the rule spy of shop.backup_orders`},
		{"a foreign key", `alter table shop.backup_orders add unique (id); create table shop.child (parent uuid constraint child references shop.backup_orders (id) on delete cascade)`,
			`drop table shop.child`, `the foreign key child of shop.child`},
		{"a type", `alter table shop.backup_orders add column former uuid; update shop.backup_orders set former = backup_id; alter table shop.backup_orders alter column backup_id type shop.rank using 1`,
			`alter table shop.backup_orders alter column backup_id type uuid using former; alter table shop.backup_orders drop column former`, `the type of shop.backup_orders.backup_id`},
		{"another owner", `alter table shop.backup_orders owner to authenticated`,
			`alter table shop.backup_orders owner to postgres`, `shop.backup_orders`},
	} {
		own := func(text string) string { return strings.ReplaceAll(text, "shop.", schema+".") }
		s.exec(t, s.admin, own("create function shop.spy() returns trigger language plpgsql as 'begin raise exception ''spied''; end'; "+attached.attach))
		if got := one[string](t, s.owner, `select auto_backup.retain($1, $2)::text`, s.backup, moment(t, "20 08:00")); got != `{"refused": "`+own(attached.says)+`"}` {
			t.Errorf("%s: %s", attached.what, got)
		}
		s.exec(t, s.admin, own(attached.remove+"; drop function shop.spy()"))
	}
	lock, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `lock table `+schema+`.backup_orders in share mode`); err != nil {
		t.Fatal(err)
	}
	check("a locked table", retain(), "another session has locked a table", 3)
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("one more", retain(), both+"2026-03-18", 2)
	check("the newest is kept", retain(), "every backup is kept", 2)
	if got := one[string](t, s.owner, `select string_agg(left(r.removed_at::text, 10) || ' ' || r.removed, ', ' order by r.finished_at) from auto_backup.runs r where r.backup = $1 and r.backup_id = any ($2::uuid[])`, s.backup, ids); got != strings.Repeat("2026-03-20 "+strings.TrimSpace(both)+", ", 2)+"2026-03-20 "+strings.TrimSpace(both) {
		t.Errorf("the run history says %s", got)
	}
	s.exec(t, s.owner, `insert into auto_backup.watchdog (backup, watched_at, summary) values ($1, $2, '{}')`, s.backup, moment(t, "20 07:50"))
	retain()
	if got := one[string](t, s.owner, `select coalesce(retention::text, '') from auto_backup.watchdog where backup = $1`, s.backup); got != `{"at": "2026-03-20T08:00:00Z", "skipped": "every backup is kept"}` {
		t.Errorf("the watchdog's row says %q of the newest tick", got)
	}
}

// testRetainForgets proves what becomes of the run history with a retention: a run stays
// beyond 400 days for as long as its backup is stored; where somebody else has deleted
// that, the retention forgets the run, unless anything is wrong; and what the retention
// has removed is pruned as without one.
func (tdb *testDatabase) testRetainForgets(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.change(installed, func(document map[string]any) { document["retention"] = map[string]any{"keep_last": 9} })
	now := moment(t, "20 08:00")
	runs := map[string]string{}
	for what, age := range map[string]string{"stored": "401 days", "deleted": "400 days 1 minute", "deleted later": "400 days", "removed": "500 days", "of another": "500 days"} {
		id := s.copyShop(schema)
		if what != "stored" {
			s.exec(t, s.owner, `delete from `+schema+`.backup_orders where backup_id = '`+id+`'; delete from `+schema+`.backup_customers where backup_id = '`+id+`'`)
		}
		runs[id] = what
		s.exec(t, s.owner, `
			insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id, removed_at)
			select case when $1 = 'of another' then $2 || '-other' else $2 end, 'daily', 'schedule', at, 1, 'succeeded', at, at + interval '5 minutes', $4::uuid, case when $1 = 'removed' then at + interval '9 days' end
			from (select $3::timestamptz - $5::text::interval as at) as t`, what, s.backup, now, id, age)
	}
	t.Cleanup(func() { s.exec(t, s.owner, `delete from auto_backup.runs where backup = $1`, s.backup+"-other") })
	s.succeeded("19 06:00", s.copyShop(schema))
	s.drill("19 07:00", "manual")
	left := func() string {
		var names []string
		for id, what := range runs {
			if one[bool](t, s.owner, `select exists (select from auto_backup.runs where backup_id = $1::uuid)`, id) {
				names = append(names, what)
			}
		}
		slices.Sort(names)
		return strings.Join(names, ", ")
	}
	retain := func(at time.Time) string {
		return one[string](t, s.owner, `select auto_backup.retain($1, $2) ->> 'skipped'`, s.backup, at)
	}
	check := func(said, want, runs string) {
		t.Helper()
		if got := left(); said != want || got != runs {
			t.Errorf("%s, want %s: the run history has %s, want %s", said, want, got, runs)
		}
	}
	const all = "deleted, deleted later, of another, stored"
	check(one[string](t, s.owner, `select auto_backup.prune($1, $2)::text`, s.backup, now), `{"runs": 1}`, all)
	check(retain(now.AddDate(1, 0, 0)), "the latest backup is too old", all)
	s.exec(t, s.owner, `update auto_backup.drills set state = 'failed', code = 'drill_check' where backup = $1`, s.backup)
	check(retain(now), "the latest restore drill was not successful", all)
	s.exec(t, s.owner, `update auto_backup.drills set state = 'successful', code = null where backup = $1`, s.backup)
	for range 2 {
		check(retain(now), "every backup is kept", "deleted later, of another, stored")
	}
}

func sorted(texts ...string) string {
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

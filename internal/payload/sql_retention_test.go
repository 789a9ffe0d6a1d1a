package payload_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
)

// testRetained proves that the database keeps the same backups as the provider says,
// whatever the history, the policy and the time zone.
func (tdb *testDatabase) testRetained(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	number := func() int64 { return max(0, int64(random.IntN(9)-3)) }
	removed := 0
	for range 3000 {
		zone := []string{"UTC", "America/Sao_Paulo", "Pacific/Auckland"}[random.IntN(3)]
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2020+random.IntN(6), time.Month(1+random.IntN(12)), 1+random.IntN(28), random.IntN(24), random.IntN(60), 0, 0, time.UTC)
		times := []time.Time{}
		for range random.IntN(40) {
			at = at.Add(time.Duration([]int{0, 6, 24, 24, 24, 48, 24 * 8, 24 * 40}[random.IntN(8)])*time.Hour + time.Duration(random.IntN(90))*time.Minute)
			times = append(times, at)
		}
		random.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
		policy := retention.Policy{KeepLast: number(), Daily: number(), Weekly: number(), Monthly: number(), Yearly: number()}
		want := policy.Keep(times, location)
		removed += len(times) - len(want)
		if got := one[[]time.Time](t, tdb.owner, `select auto_backup.retained($1, $2, $3)`, times, policy, zone); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%+v in %s of %v:\nthe database keeps %v\nthe provider keeps %v", policy, zone, times, got, want)
		}
	}
	if removed < 10_000 {
		t.Errorf("only %d backups were to be removed", removed)
	}
	for _, policy := range []string{`{}`, `{"keep_last": 0, "daily": null}`} {
		if got := one[int](t, tdb.owner, `select cardinality(auto_backup.retained(array[now(), now() - interval '1 day'], $1, 'UTC'))`, policy); got != 1 {
			t.Errorf("%s keeps %d of two", policy, got)
		}
	}
}

// testRetain proves that one backup at a time is removed, from all its tables and no
// other row with it, the oldest first and only what the policy does not keep; that
// nothing is removed while anything is wrong; and that no other role's code runs.
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

	s.exec(t, s.owner, `create function `+schema+`.spy() returns trigger language plpgsql as 'begin raise exception ''spied''; end'; create trigger spy before delete on `+schema+`.backup_orders for each row execute function `+schema+`.spy()`)
	if _, err := s.owner.Exec(t.Context(), "select auto_backup.retain($1, $2)", s.backup, moment(t, "20 08:00")); err == nil || !strings.Contains(err.Error(), "the trigger spy of "+schema+".backup_orders could have other code run") {
		t.Errorf("a trigger: %v", err)
	}
	s.exec(t, s.owner, `drop trigger spy on `+schema+`.backup_orders`)
	check("one more", retain(), both+"2026-03-18", 2)
	check("the newest is kept", retain(), "every backup is kept", 2)
}

func sorted(texts ...string) string {
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

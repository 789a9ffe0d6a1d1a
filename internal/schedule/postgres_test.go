package schedule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// startPostgres starts a PostgreSQL with pg_cron and the function that answers
// when a schedule is due. It returns how to connect.
func startPostgres(t testing.TB) func(testing.TB) *pgx.Conn {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Parts: stack.Database, Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	connect := func(t testing.TB) *pgx.Conn {
		t.Helper()
		db, err := pgx.Connect(t.Context(), s.AdminDatabaseURL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
		return db
	}
	db := connect(t)
	execute(t, db, "create schema auto_backup")
	function, err := os.ReadFile("../payload/sql/functions/due_times.sql")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, string(function))
	return connect
}

// TestPostgres proves the package against a real PostgreSQL with a real pg_cron.
func TestPostgres(t *testing.T) {
	t.Parallel()
	connect := startPostgres(t)
	t.Run("pg_cron accepts", func(t *testing.T) { testPgCronAccepts(t, connect(t)) })
	t.Run("pg_cron's own grammar", func(t *testing.T) { testPgCronGrammar(t, connect(t)) })
	t.Run("guard around changes", func(t *testing.T) { testGuard(t, connect(t)) })
	t.Run("guard over years", func(t *testing.T) { testGuardOverYears(t, connect(t)) })
	t.Run("guard refuses", func(t *testing.T) { testGuardRefuses(t, connect(t)) })
}

func execute(t testing.TB, db *pgx.Conn, sql string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// query runs a query that returns one value.
func query[T any](t testing.TB, db *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// testPgCronAccepts proves that pg_cron accepts every expression that Parse
// does: those of the 182 measured ones, 100,000 generated ones, and what they
// compile to. The statement fails at the first that is rejected.
func testPgCronAccepts(t *testing.T, db *pgx.Conn) {
	var list []string
	for _, m := range measuredExpressions(t) {
		if m.ours != "refused" {
			list = append(list, m.expr, m.ours)
		}
	}
	for i, text := range generatedExpressions() {
		list = append(list, text)
		if i%20 == 0 {
			compiled, err := schedule.Compile(parse(t, text), zoneOf(t, replayZones[i/20%len(replayZones)]), testNow)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, compiled.UTC)
		}
	}
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	var count int
	start := time.Now()
	err = tx.QueryRow(t.Context(), "select count(cron.schedule(expression, 'select 1')) from unnest($1::text[]) as expression", list).Scan(&count)
	if err != nil || count != len(list) {
		t.Fatalf("%d of %d expressions accepted: %v", count, len(list), err)
	}
	t.Logf("%d expressions in %v", count, time.Since(start))
}

// testPgCronGrammar proves that the tests' reading of pg_cron is right about
// what this server accepts: the 182 expressions and 20,000 that are almost
// expressions. It fails if one verdict differs.
func testPgCronGrammar(t *testing.T, db *pgx.Conn) {
	list := slices.Clone(mutatedExpressions())
	for _, m := range measuredExpressions(t) {
		list = append(list, m.expr)
	}
	execute(t, db, `
		create function pg_temp.accepted(expressions text[]) returns boolean[] language plpgsql as $$
		declare
			expression text;
			verdicts boolean[];
		begin
			foreach expression in array expressions loop
				begin
					perform cron.schedule(expression, 'select 1');
					verdicts := verdicts || true;
				exception when invalid_parameter_value then
					verdicts := verdicts || false;
				end;
			end loop;
			perform cron.unschedule(jobid) from cron.job where command = 'select 1';
			return verdicts;
		end
		$$`)
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	version := cron142
	if query[string](t, db, "select extversion from pg_extension where extname = 'pg_cron'") >= "1.5" {
		version = cron167
	}
	verdicts := query[[]bool](t, db, "select pg_temp.accepted($1)", list)
	accepted := 0
	for i, text := range list {
		_, want := readCron(text, version)
		if version == cron167 && strings.Contains(strings.ToLower(text), "secon") {
			continue // an interval, which is not of cron's grammar
		}
		if verdicts[i] != want {
			t.Errorf("%q: pg_cron accepts: %v, the model: %v", text, verdicts[i], want)
		}
		if want {
			accepted++
		}
	}
	if accepted < 1000 || len(list)-accepted < 1000 {
		t.Errorf("%d of %d accepted: too one-sided", accepted, len(list))
	}
}

// scheduleJSON is a schedule as the dispatcher's settings hold it.
func scheduleJSON(t testing.TB, cron, zone string) string {
	t.Helper()
	e := parse(t, cron)
	text, err := json.Marshal(map[string]any{
		"cron": cron, "zone": zone, "minutes": e.Minutes(), "hours": e.Hours(), "days": e.Days(),
		"months": e.Months(), "weekdays": e.Weekdays(), "days_either": e.DaysEither(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// serverOffsets reads the server's own offsets in minutes, rounded down, at
// every step minutes, and repeats them for the minutes between.
func serverOffsets(t *testing.T, db *pgx.Conn, zone string, from, to int64, step int) []int16 {
	t.Helper()
	list := query[[]int16](t, db, `
		select array_agg((floor(date_part('epoch', to_timestamp(m * 60) at time zone $1) / 60) - m)::smallint order by m)
		from generate_series($2::bigint, $3::bigint - 1, $4::bigint) as m`, zone, from, to, step)
	if step == 1 {
		return list
	}
	offsets := make([]int16, to-from)
	for i := range offsets {
		offsets[i] = list[i/step]
	}
	return offsets
}

// testGuard proves that auto_backup.due_times lets through exactly the minutes
// that the rule names, by the server's own time zone database: around every
// change of clock of 2026 and 2028 in all zones of the replay and around odd
// changes of the past, asked as the dispatcher asks, minute by minute, and as
// the watchdog asks, for days. It fails at the first minute that differs.
func testGuard(t *testing.T, db *pgx.Conn) {
	// The session's time zone must not matter.
	execute(t, db, "set timezone = 'Pacific/Apia'")
	const day = 24 * 60
	type change struct {
		zone string
		near int64 // up to six hours after the change
	}
	changes := []change{
		{"Pacific/Apia", unixMinute(2011, 12, 30) + 10*60},
		{"America/Sao_Paulo", unixMinute(2018, 11, 4) + 3*60},
		{"America/Sao_Paulo", unixMinute(2019, 2, 17) + 2*60},
		{"Asia/Pyongyang", unixMinute(2018, 5, 4) + 15*60},
		{"Antarctica/Casey", unixMinute(2022, 10, 1) + 16*60 + 1},
		{"America/Caracas", unixMinute(2016, 5, 1) + 7*60},
		{"Pacific/Kwajalein", unixMinute(1993, 8, 21) + 12*60},
	}
	for _, year := range []int{2026, 2028} {
		for _, name := range replayZones {
			from, to := unixMinute(year, 1, 1), unixMinute(year+1, 1, 1)
			const step = 6 * 60
			offsets := serverOffsets(t, db, name, from, to, step)
			for m := step; m < len(offsets); m += step {
				if offsets[m] != offsets[m-step] {
					changes = append(changes, change{name, from + int64(m)})
				}
			}
		}
	}
	exprs := []string{"* * * * *", "*/15 * * * *", "30 1,2 * * *", "0 0 * * *", "0 3 * * 0", "15 0-3 * * *", "45 2 1-7,25-31 * */7", "59 23 1-15 * 6"}
	instants, due := 0, 0
	for n, c := range changes {
		from, to := c.near-4*day, c.near+3*day
		offsets := serverOffsets(t, db, c.zone, from, to, 1)
		b := newBrute(from, offsets)
		at := from + 3*day
		for offsets[at-from] == offsets[at-from-1] && at < c.near {
			at++
		}
		// What the offsets of these days do not show can be due at their ends.
		from, to = from+2*day, to-2*day
		loc := zoneOf(t, c.zone)
		sameRules := slices.Equal(offsets, offsetsOf(loc, c.near-4*day, c.near+3*day))
		for i, expr := range exprs {
			entry, _ := readCron(expr, cron142)
			want := b.dueBy(&entry, from, to)
			settings := scheduleJSON(t, expr, c.zone)

			// A period of three days.
			got := newMinutes(from, to)
			list := query[[]int64](t, db, `
				select coalesce(array_agg((date_part('epoch', d) / 60)::bigint), '{}')
				from auto_backup.due_times($1, to_timestamp(60 * $2::bigint), to_timestamp(60 * $3::bigint)) as d`, settings, from-1, to-1)
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Errorf("%s in %s: due times are out of order or repeated", expr, c.zone)
			}
			for _, m := range list {
				if m < from || m >= to {
					t.Fatalf("%s in %s: a due time outside of the period", expr, c.zone)
				}
				got.add(m)
			}
			compareMinutes(t, expr+" in "+c.zone, got, want)
			if sameRules {
				mine := newMinutes(from, to)
				for m := range parse(t, expr).Due(loc, from-1) {
					if m >= to {
						break
					}
					mine.add(m)
				}
				compareMinutes(t, "Next of "+expr+" in "+c.zone, mine, want)
			}

			// Single minutes, each asked at some second of it, for some of the
			// expressions in turn.
			if (i+n)%3 != 0 {
				continue
			}
			first, last := at-95, at+95
			verdicts := query[[]bool](t, db, `
				select array_agg(exists (
					select from auto_backup.due_times($1, to_timestamp(60 * (m - 1) + $4::float8), to_timestamp(60 * m + $4::float8))
				) order by m)
				from generate_series($2::bigint, $3::bigint) as m`, settings, first, last, float64(i)*8.4)
			for i, verdict := range verdicts {
				m := first + int64(i)
				instants++
				if verdict {
					due++
				}
				if wanted := want.words[(m-from)/64]>>((m-from)%64)&1 != 0; verdict != wanted {
					t.Errorf("%s in %s: the guard says %v at %s, want %v", expr, c.zone, verdict, time.Unix(60*m, 0).UTC(), wanted)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
	if len(changes) < 80 || instants < 2000 || due < 1000 || instants-due < 1000 {
		t.Errorf("%d changes, %d instants, of which %d are due: too few", len(changes), instants, due)
	}
	t.Logf("%d changes, %d instants, of which %d are due", len(changes), instants, due)
}

func compareMinutes(t *testing.T, what string, got, want *minutes) {
	t.Helper()
	if m, ok := want.missing(got); ok {
		t.Errorf("%s: %s is missing", what, time.Unix(60*m, 0).UTC())
	}
	if m, ok := got.missing(want); ok {
		t.Errorf("%s: %s is not due", what, time.Unix(60*m, 0).UTC())
	}
}

// testGuardOverYears proves that periods of sixty days, one after the other over
// the years 2025 to 2028, name each due time once. It fails if one is lost or
// repeated where two periods meet.
func testGuardOverYears(t *testing.T, db *pgx.Conn) {
	from, to := unixMinute(2025, 1, 1), unixMinute(2029, 1, 1)
	const margin = 5 * 24 * 60
	for _, name := range []string{"America/Sao_Paulo", "America/New_York", "Europe/Berlin", "Africa/Casablanca", "Asia/Gaza", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago"} {
		// In these years clocks change at quarters of an hour only.
		b := newBrute(from-margin, serverOffsets(t, db, name, from-margin, to+margin, 15))
		for _, expr := range []string{"0 3 * * *", "30 2 * * 0", "0 0 1 * *", "15 1 */2 * 1-5", "0 12 29 2 *"} {
			entry, _ := readCron(expr, cron142)
			got := newMinutes(from, to)
			list := query[[]int64](t, db, `
				select coalesce(array_agg((date_part('epoch', d) / 60)::bigint), '{}')
				from generate_series($2::bigint, $3::bigint - 1, 60 * 1440) as m
				cross join auto_backup.due_times($1, to_timestamp(60 * m), to_timestamp(60 * least(m + 60 * 1440, $3::bigint))) as d`,
				scheduleJSON(t, expr, name), from-1, to-1)
			if len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Errorf("%s in %s: a due time is repeated", expr, name)
			}
			for _, m := range list {
				got.add(m)
			}
			compareMinutes(t, expr+" in "+name, got, b.dueBy(&entry, from, to))
		}
	}
}

// testGuardRefuses proves that a schedule which is incomplete or in an unknown
// zone is an error, and not one that is never due; and that a period without
// time has no due time.
func testGuardRefuses(t *testing.T, db *pgx.Conn) {
	good := scheduleJSON(t, "* * * * *", "Europe/Berlin")
	const sql = "select count(*) from auto_backup.due_times($1, $2::timestamptz, $3::timestamptz)"
	for name, c := range map[string]struct{ schedule, after, until, want string }{
		"no zone":      {strings.Replace(good, `"zone"`, `"zona"`, 1), "2026-01-01", "2026-01-02", "22023"},
		"no minutes":   {strings.Replace(good, `"minutes"`, `"minutos"`, 1), "2026-01-01", "2026-01-02", "22023"},
		"no rule":      {strings.Replace(good, `"days_either"`, `"either"`, 1), "2026-01-01", "2026-01-02", "22023"},
		"unknown zone": {strings.Replace(good, `Europe/Berlin`, `Europe/Atlantis`, 1), "2026-01-01", "2026-01-02", "22023"},
		"endless":      {good, "2026-01-01", "infinity", "22003"},
	} {
		var count int
		err := db.QueryRow(t.Context(), sql, c.schedule, c.after, c.until).Scan(&count)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d due times, %v; want SQLSTATE %s", name, count, err, c.want)
		}
	}
	if _, err := db.Exec(t.Context(), "select auto_backup.due_times($1, null, now())", good); err == nil || !strings.Contains(err.Error(), "22004") {
		t.Errorf("a period without a start: %v", err)
	}
	for _, until := range []string{"2026-01-01 00:00:00", "2026-01-01 00:00:59.9", "2025-01-01"} {
		if got := query[int](t, db, sql, good, "2026-01-01 00:00:00", until); got != 0 {
			t.Errorf("%d due times until %s", got, until)
		}
	}
}

// BenchmarkDueTimes measures the questions of the dispatcher and the watchdog, at
// best of many: it fails if the function tries more minutes than it has to.
func BenchmarkDueTimes(b *testing.B) {
	db := startPostgres(b)(b)
	for _, c := range []struct {
		expr, period string
		limit        time.Duration
	}{
		{"* * * * *", "1 minute", time.Millisecond},
		{"* * * * *", "1 day", 5 * time.Millisecond}, // 1440 answers
		{"0 3 * * *", "1 minute", time.Millisecond},
		{"0 3 * * *", "1 day", time.Millisecond},
		{"0 3 * * *", "60 days", 5 * time.Millisecond},
	} {
		execute(b, db, fmt.Sprintf(`
			create or replace function pg_temp.best() returns float8 language plpgsql as $$
			declare
				start timestamptz;
				best interval := '1 hour';
			begin
				for i in 1..200 loop
					start := clock_timestamp();
					perform auto_backup.due_times('%s', timestamptz '2026-03-20' + i * interval '1 hour', timestamptz '2026-03-20' + i * interval '1 hour' + interval '%s');
					best := least(best, clock_timestamp() - start);
				end loop;
				return date_part('epoch', best);
			end
			$$`, scheduleJSON(b, c.expr, "Europe/Berlin"), c.period))
		b.Run(c.expr+" for "+c.period, func(b *testing.B) {
			best := time.Hour
			for b.Loop() {
				best = min(best, time.Duration(query[float64](b, db, "select pg_temp.best()")*float64(time.Second)))
			}
			b.ReportMetric(float64(best.Microseconds())/1000, "best-ms")
			if best > c.limit {
				b.Errorf("it takes %v, the limit is %v", best, c.limit)
			}
		})
	}
}

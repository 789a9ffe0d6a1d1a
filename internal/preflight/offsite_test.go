package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// TestDestinations proves what a plan says of new and changed destinations of copies: each
// thing once, at the argument that it is about, and nothing of what is as it should be or
// as before.
func TestDestinations(t *testing.T) {
	t.Parallel()
	cron := func(text string) func(*checks.Subject, *offsite.Destination) {
		return func(s *checks.Subject, _ *offsite.Destination) {
			compiled, err := backup.CompileSchedule(text, nil, "UTC", true, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			s.Spec.Settings.Schedules = map[string]backup.Schedule{"daily": compiled}
		}
	}
	of := func(change func(*offsite.Destination)) func(*checks.Subject, *offsite.Destination) {
		return func(_ *checks.Subject, d *offsite.Destination) { change(d) }
	}
	both := func(changes ...func(*checks.Subject, *offsite.Destination)) func(*checks.Subject, *offsite.Destination) {
		return func(s *checks.Subject, d *offsite.Destination) {
			for _, change := range changes {
				change(s, d)
			}
		}
	}
	compliance := of(func(d *offsite.Destination) { d.Lock.Mode = offsite.Compliance })
	tables := func(names ...string) func(*checks.Subject, *offsite.Destination) {
		return of(func(d *offsite.Destination) { d.Tables = names })
	}
	const gigabyte = 1_000_000_000
	size := func(bytes int64) func(*checks.Subject, *offsite.Destination) {
		return func(s *checks.Subject, _ *offsite.Destination) {
			s.StoredBackups = &facts.StoredBackups{Count: 2, Bytes: 2 * bytes}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*checks.Subject, *offsite.Destination)
		want   []string // code, argument and what is said, in short
	}{
		{"as it should be", cron("0 3 * * *"), nil},
		{"one recipient", of(func(d *offsite.Destination) { d.Recipients = d.Recipients[:1] }), []string{"offsite_one_recipient offsite.b2.recipients: has one recipient"}},
		{"an expired certificate", of(func(d *offsite.Destination) { d.Expired = []time.Time{time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)} }), []string{"offsite_certificate_expired offsite.b2.recipients: expired on 2025-01-02"}},
		{"no lock", of(func(d *offsite.Destination) { d.Lock = nil }), []string{"offsite_no_lock offsite.b2: may be able to delete"}},
		{"R2", of(func(d *offsite.Destination) { d.Lock, d.Endpoint = nil, "https://0123.r2.cloudflarestorage.com" }), []string{"offsite_no_lock offsite.b2: Cloudflare R2 has bucket locks"}},
		{"Supabase Storage", of(func(d *offsite.Destination) {
			d.Lock, d.Endpoint = nil, "https://zyxwvutsrqponmlkjihg.supabase.co/storage/v1/s3"
		}), []string{"offsite_storage offsite.b2.endpoint: neither locks nor versions"}},
		{"compliance without a size", compliance, []string{"offsite_compliance offsite.b2.lock: for 30 days so that nobody can delete it or shorten the time."}},
		{"compliance with a size", both(compliance, cron("0 3 * * *"), size(300_000_000)), []string{"offsite_compliance offsite.b2.lock: about 30 copies of 100 MB, 3 GB in all"}},
		{"compliance once a week", both(compliance, cron("0 3 * * *"), size(300_000_000), of(func(d *offsite.Destination) { d.Every = offsite.EveryWeek })), []string{"offsite_compliance offsite.b2.lock: about 4 copies of 100 MB, 400 MB in all"}},
		{"a lock of a day", both(cron("0 3 * * *"), of(func(d *offsite.Destination) { d.Lock.Days = 1 })), []string{"offsite_lock_short offsite.b2.lock: locks objects for 1 d 0 h, and the next copy may be made only 1 d 0 h later"}},
		{"a lock of two days", both(cron("0 3 * * *"), of(func(d *offsite.Destination) { d.Lock.Days = 2 })), nil},
		{"a lock of a week, weekly", both(cron("0 3 * * *"), of(func(d *offsite.Destination) { d.Lock.Days, d.Every = 7, offsite.EveryWeek })), []string{"offsite_lock_short offsite.b2.lock: 7 d 0 h later"}},
		{"a day, hourly", both(cron("0 * * * *"), of(func(d *offsite.Destination) { d.Lock.Days = 1 })), nil},
		{"a day, hourly and daily", both(cron("0 * * * *"), of(func(d *offsite.Destination) { d.Lock.Days, d.Every = 1, offsite.EveryDay })), []string{"offsite_lock_short offsite.b2.lock: 1 d 0 h later"}},
		{"too much for Free", both(cron("0 3 * * *"), size(gigabyte)), []string{"offsite_egress offsite: send about 10 GB a month out of the project; the platform's plan Free includes 5 GB, and Pro 250 GB"}},
		{"not too much", both(cron("0 3 * * *"), size(gigabyte/3)), nil},
		{"too much with the live tables", both(cron("0 3 * * *"), size(gigabyte/3), tables("live", "stored")), []string{"offsite_egress offsite: about 6.7 GB"}},
		{"less once a week", both(cron("0 3 * * *"), size(gigabyte), of(func(d *offsite.Destination) { d.Every = offsite.EveryWeek })), nil},
		{"tables that are there", tables("public.articles"), nil},
		{"a large table", both(cron("0 3 * * *"), tables("public.articles"), func(s *checks.Subject, _ *offsite.Destination) {
			s.OffsiteTables["public.articles"] = facts.OffsiteTable{Kind: "r", Readable: true, Bytes: gigabyte}
		}), []string{"offsite_egress offsite: about 10 GB"}},
		{"a table that is not there", tables("public.gone", "stored"), []string{"offsite_table_missing offsite.b2.tables error: public.gone, which does not exist"}},
		{"a view", tables("public.shown"), []string{"offsite_table_foreign offsite.b2.tables error: public.shown, which is not a table"}},
		{"a closed table", tables("secret.notes"), []string{"offsite_table_foreign offsite.b2.tables error: role postgres may not read"}},
		{"unknown stored rows", func(s *checks.Subject, _ *offsite.Destination) { s.Routines[0].Source = "begin perform 1; end" }, []string{"offsite_no_tables offsite.b2.tables: public.make does not show which tables it copies"}},
		{"stored rows of named tables", func(s *checks.Subject, _ *offsite.Destination) {
			s.Routines[0].Source = "begin perform 1; end"
			s.Spec.Settings.Drill = &backup.DrillSettings{TablesNamed: true, Tables: []drill.Table{{Copy: [2]string{"a", "b"}}}}
		}, nil},
		{"a table by name besides unknown rows", both(tables("public.articles", "stored"), func(s *checks.Subject, _ *offsite.Destination) {
			s.Routines[0].Source = "begin perform 1; end"
		}), nil},
		{"no URL of the database", func(s *checks.Subject, _ *offsite.Destination) {
			s.Secrets = map[string]string{"SUPABASE_URL": "x"}
		}, []string{"offsite_database_url offsite: no secret SUPABASE_DB_URL"}},
		{"a URL of the database", func(s *checks.Subject, _ *offsite.Destination) {
			s.Secrets = map[string]string{"SUPABASE_URL": "x", "SUPABASE_DB_URL": "x"}
		}, nil},
		{"no list of the platform's secrets", func(s *checks.Subject, _ *offsite.Destination) { s.Secrets = map[string]string{"OTHER": "x"} }, nil},
		{"a destination as before", func(s *checks.Subject, d *offsite.Destination) {
			d.Lock, s.Spec.KeptDestinations = nil, []string{"b2"}
		}, nil},
		{"another destination as before", func(s *checks.Subject, d *offsite.Destination) {
			d.Lock, s.Spec.KeptDestinations = nil, []string{"r2"}
		}, []string{"offsite_no_lock offsite.b2: "}},
	} {
		s := subject(t, sound)
		d := offsite.Destination{
			Endpoint: "https://s3.us-west-004.backblazeb2.com", Region: "us-west-004", Bucket: "acme", Recipients: []string{"A", "B"},
			Lock: &offsite.Lock{Mode: offsite.Governance, Days: 30}, Every: offsite.EveryBackup, Tables: []string{offsite.StoredRows},
		}
		s.OffsiteTables = map[string]facts.OffsiteTable{
			"public.articles": {Kind: "r", Readable: true}, "public.shown": {Kind: "v", Readable: true}, "secret.notes": {Kind: "r"},
		}
		c.change(s, &d)
		s.Spec.Settings.Offsite = &offsite.Settings{Destinations: map[string]offsite.Destination{"b2": d}}
		found := destinations(s)
		matches := len(found) == len(c.want)
		for i := 0; matches && i < len(found); i++ {
			f := found[i]
			head, says, _ := strings.Cut(c.want[i], ": ")
			got := f.Code + " " + f.Attribute
			if f.Severity == checks.Error {
				got += " error"
			}
			matches = got == head && strings.Contains(f.Message, says) && f.Remedy != ""
		}
		if !matches {
			t.Errorf("%s: found is %+v, want %q", c.name, found, c.want)
		}
	}
	if found := destinations(subject(t, sound)); found != nil {
		t.Errorf("without destinations: %+v", found)
	}
}

// TestNamedTables proves which tables are asked for.
func TestNamedTables(t *testing.T) {
	t.Parallel()
	var spec backup.Spec
	spec.Settings.Offsite = &offsite.Settings{Destinations: map[string]offsite.Destination{
		"a": {Tables: []string{"stored", "public.b", "live"}}, "b": {Tables: []string{"public.a", "public.b"}},
	}}
	if got, err := namedTables(spec); err != nil || got != `["public.a","public.b"]` {
		t.Errorf("%s, %v", got, err)
	}
	spec.KeptDestinations = []string{"a", "gone"}
	if got := fmt.Sprint(changedDestinations(spec)); got != "[b]" || !slices.Contains(spec.KeptDestinations, "a") {
		t.Errorf("changed are %s", got)
	}
}

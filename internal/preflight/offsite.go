package preflight

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	day   = 24 * time.Hour
	month = 30 * day
	// included is the egress in bytes a month that the smallest plan of the platform
	// includes, and includedPro that of the next one.
	included, includedPro = 5_000_000_000, 250_000_000_000
	// compression is how many times smaller rows are as gzip, as measured.
	compression = 3
)

// changedDestinations are the keys of the destinations that the backup does not have yet,
// sorted.
func changedDestinations(spec backup.Spec) []string {
	if spec.Settings.Offsite == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(spec.Settings.Offsite.Destinations))
	return slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(spec.KeptDestinations, key) })
}

// namedTables are the tables that destinations name, as JSON.
func namedTables(spec backup.Spec) (string, error) {
	names := []string{}
	for _, d := range spec.Settings.Offsite.Destinations {
		for _, table := range d.Tables {
			if table != offsite.StoredRows && table != offsite.LiveRows {
				names = append(names, table)
			}
		}
	}
	slices.Sort(names)
	text, err := json.Marshal(slices.Compact(names))
	return string(text), err
}

// destinations returns what has to be known of new and changed destinations of copies.
func destinations(s *checks.Subject) []checks.Finding {
	changed := changedDestinations(s.Spec)
	if len(changed) == 0 {
		return nil
	}
	var found []checks.Finding
	add := func(code string, f checks.Finding) {
		f.Code = code
		if f.Severity == 0 {
			f.Severity = checks.Warning
		}
		if f.Remedy == "" {
			f.Remedy = codes.Lookup(code, "").Remedy
		}
		found = append(found, f)
	}
	gap := longestGap(s.Spec.Settings.Schedules)
	for _, key := range changed {
		d := s.Spec.Settings.Offsite.Destinations[key]
		object, at := "The destination "+key, "offsite."+key
		if len(d.Recipients) == 1 {
			add("offsite_one_recipient", checks.About(object, "has one recipient, and if its private key is lost, no copy can be opened").At(at+".recipients"))
		}
		for _, expired := range d.Expired {
			add("offsite_certificate_expired", checks.About(object, "has a recipient whose certificate expired on %s; its key is used nevertheless", expired.UTC().Format(time.DateOnly)).At(at+".recipients"))
		}
		switch service := offsite.ServiceOf(d.Endpoint); {
		case service.Name == offsite.SupabaseStorage:
			add("offsite_storage", checks.About(object, "is Supabase Storage, which has neither locks nor versions, and whose S3 keys can delete every object of its project").At(at+".endpoint"))
		case d.Lock == nil && service.Lock != "":
			f := checks.About(object, "has no lock, because %s has bucket locks in the place of S3's", service.Name).At(at)
			add("offsite_no_lock", f.With("Set a bucket lock for the prefix there, for example with the resource cloudflare_r2_bucket_lock, unless there is one. Then whoever has the function's credentials cannot delete a copy."))
		case d.Lock == nil:
			add("offsite_no_lock", checks.About(object, "has no lock, so whoever breaks into the project may be able to delete its copies, too").At(at))
		}
		every, copies := frequency(d.Every, gap, s.Spec.Settings.Schedules)
		size := copySize(s, d)
		if d.Lock != nil {
			if locked := time.Duration(d.Lock.Days) * day; every > 0 && locked <= every {
				add("offsite_lock_short", checks.About(object, "locks objects for %s, and the next copy may be made only %s later, so that there may be no locked one", text.Duration(locked), text.Duration(every)).At(at+".lock"))
			}
			if d.Lock.Mode == offsite.Compliance {
				held := ""
				if size > 0 && every > 0 {
					n := max(1, int64(float64(d.Lock.Days)*copies/30+0.5))
					held = fmt.Sprintf(": about %d copies of %s, %s in all", n, text.Bytes(size), text.Bytes(n*size))
				}
				add("offsite_compliance", checks.About(object, "locks every object for %d days so that nobody can delete it or shorten the time%s", d.Lock.Days, held).At(at+".lock"))
			}
		}
		for _, table := range d.Tables {
			known, exists := s.OffsiteTables[table]
			name := text.Line(table)
			switch {
			case table == offsite.StoredRows || table == offsite.LiveRows:
			case !exists:
				f := checks.About(object, "is to get the table %s, which does not exist", name).At(at + ".tables")
				f.Severity = checks.Error
				add("offsite_table_missing", f)
			case known.Kind != "r" && known.Kind != "p":
				f := checks.About(object, "is to get %s, which is not a table", name).At(at + ".tables")
				f.Severity = checks.Error
				add("offsite_table_foreign", f)
			case !known.Readable:
				f := checks.About(object, "is to get the table %s, which role postgres may not read", name).At(at + ".tables")
				f.Severity = checks.Error
				add("offsite_table_foreign", f)
			}
		}
		if _, found := s.Callee(); found && !slices.ContainsFunc(d.Tables, func(table string) bool { return strings.Contains(table, ".") }) && len(copiedTables(s)) == 0 {
			add("offsite_no_tables", checks.About(object, "gets nothing, because the text of the SQL function public.%s does not show which tables it copies", checks.QuoteIdent(s.Spec.Settings.Function.RPC)).At(at+".tables"))
		}
	}
	if leaving := monthlyEgress(s, gap); leaving > included {
		add("offsite_egress", checks.About("The copies", "send about %s a month out of the project; the platform's plan Free includes %s, and Pro %s", text.Bytes(leaving), text.Bytes(included), text.Bytes(includedPro)).At("offsite"))
	}
	if lacksDatabaseURL(s.Secrets) {
		add("offsite_database_url", checks.About("The project's functions", "have no secret SUPABASE_DB_URL, with which the function reads what it copies").At("offsite"))
	}
	return found
}

// copiedTables are the live tables of the backup with their backup tables.
func copiedTables(s *checks.Subject) []drill.Table {
	if wanted := s.Spec.Settings.Drill; wanted != nil && wanted.TablesNamed {
		return wanted.Tables
	}
	return drillTables(s)
}

// longestGap is the longest time between two backups; zero if none is scheduled.
func longestGap(schedules map[string]backup.Schedule) time.Duration {
	overdue, err := backup.OverdueAfter(schedules)
	if err != nil || overdue == 0 {
		return 0
	}
	return overdue - backup.OverdueMargin
}

// frequency is how long after a copy the next one may be made, and how many copies a
// month has; zero if no backup is scheduled.
func frequency(every string, gap time.Duration, schedules map[string]backup.Schedule) (time.Duration, float64) {
	if gap == 0 {
		return 0, 0
	}
	backups := 0
	// A month of one year may have other due times than another one.
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range schedules {
		expression, err := schedule.Parse(s.Cron)
		if err != nil || !s.Enabled {
			continue
		}
		for _, due := range expression.Next(time.UTC, begin, int(month/(5*time.Minute))) {
			if due.Before(begin.Add(month)) {
				backups++
			}
		}
	}
	copies := float64(max(1, backups))
	switch every {
	case offsite.EveryDay:
		return max(gap, day), min(copies, 30)
	case offsite.EveryWeek:
		return max(gap, 7*day), min(copies, 30.0/7)
	}
	return gap, copies
}

// copySize is about how many bytes a copy has; zero if that is not known. A backup takes
// as much as the stored ones on average, and the live tables as much as a backup.
func copySize(s *checks.Subject, d offsite.Destination) int64 {
	var one, size int64
	if s.StoredBackups != nil && s.StoredBackups.Count > 0 {
		one = s.StoredBackups.Bytes / s.StoredBackups.Count
	}
	for _, table := range d.Tables {
		if table == offsite.StoredRows || table == offsite.LiveRows {
			size += one
		} else {
			size += s.OffsiteTables[table].Bytes
		}
	}
	return size / compression
}

// monthlyEgress is about how many bytes all copies of a month have.
func monthlyEgress(s *checks.Subject, gap time.Duration) int64 {
	var all float64
	for _, d := range s.Spec.Settings.Offsite.Destinations {
		_, copies := frequency(d.Every, gap, s.Spec.Settings.Schedules)
		all += copies * float64(copySize(s, d))
	}
	return int64(all)
}

// lacksDatabaseURL reports whether a list of secrets has those of the platform, without
// the URL of the database. Some projects list none of the platform's.
func lacksDatabaseURL(secrets map[string]string) bool {
	_, has := secrets["SUPABASE_DB_URL"]
	_, lists := secrets["SUPABASE_URL"]
	return lists && !has
}

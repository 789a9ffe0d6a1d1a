package checks

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// neededOf says what is needed of each extension: the schema that Supabase creates
// it in, the oldest version with what the installation calls (cron.alter_job and
// named jobs, net.http_post with a timeout, vault.update_secret), and these calls.
var neededOf = map[string]struct {
	schema string
	oldest [2]int
	calls  []string
}{
	"pg_cron":        {"pg_catalog", [2]int{1, 4}, []string{"cron.schedule", "cron.alter_job", "cron.unschedule"}},
	"pg_net":         {"extensions", [2]int{0, 2}, []string{"net.http_post"}},
	"supabase_vault": {"vault", [2]int{0, 2}, []string{"vault.create_secret", "vault.update_secret"}},
}

// extensions are the checks of pg_cron, pg_net and the vault as they are installed.
var extensions = []Check{
	{
		Code: "extension_unavailable", Theme: Extensions, Planning: Error,
		Facts: []facts.Part{"available_extensions", "parameters"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range backup.RequiredExtensions {
				e := s.Available[name]
				libraries, visible := s.Parameters["shared_preload_libraries"]
				switch {
				case e.Installed != "":
				case e.Available == "":
					found = append(found, About("The extension "+name, "is not available on this server"))
				case name == "pg_cron" && visible && !strings.Contains(libraries, name):
					found = append(found, About("The extension "+name, "can be created only when the server has loaded it at its start").
						With("Run `alter system set shared_preload_libraries = '%s'`, and restart the server.", strings.Trim(libraries+","+name, ",")))
				}
			}
			return found
		},
	},
	{
		Code: "extension_missing", Theme: Extensions, Asked: Failing,
		Facts: []facts.Part{"extensions"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range backup.RequiredExtensions {
				if _, ok := s.Extensions[name]; ok {
					continue
				}
				f := About("The extension "+name, "is not installed in the database")
				if name == "pg_cron" {
					f.Condition = SchedulerDown
				}
				found = append(found, f)
			}
			return found
		},
	},
	{
		Code: "extension_old", Theme: Extensions, Planning: Error,
		Facts: []facts.Part{"available_extensions"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range backup.RequiredExtensions {
				if oldest := neededOf[name].oldest; s.tooOld(name) {
					found = append(found, About("The extension "+name, "has version %s, and %d.%d is the oldest that has what the backup needs", s.Available[name].Installed, oldest[0], oldest[1]).
						With("Run `alter extension %s update`, or upgrade the project.", name))
				}
			}
			return found
		},
	},
	{
		Code: "extension_misplaced", Theme: Extensions, Planning: Error,
		Facts: []facts.Part{"available_extensions", "calls"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range backup.RequiredExtensions {
				if call, ok := s.missingCall(name); ok && s.Available[name].Installed != "" && !s.tooOld(name) {
					found = append(found, About("The extension "+name, "is installed in schema %s, but the function %s is not where the backup calls it", s.Available[name].Schema, call).
						With("Run `drop extension %[1]s; create extension %[1]s with schema %[2]s` (its jobs, requests or secrets are lost).", name, neededOf[name].schema))
				}
			}
			return found
		},
	},
	{
		Code: "extension_closed", Theme: Extensions, Planning: Error,
		Facts: []facts.Part{"available_extensions", "calls"},
		Find: func(s *Subject) (found []Finding) {
			for _, name := range backup.RequiredExtensions {
				if _, ok := s.missingCall(name); ok || s.Available[name].Installed == "" || s.tooOld(name) {
					continue
				}
				for _, call := range slices.Sorted(slices.Values(neededOf[name].calls)) {
					if !s.Calls[call] {
						schema, _, _ := strings.Cut(call, ".")
						found = append(found, About("The function "+call, "may not be executed by role postgres, which installs the backup and owns its jobs").
							With("Run `grant usage on schema %[1]s to postgres; grant execute on all functions in schema %[1]s to postgres` as the owner of the extension, %[2]s.", schema, s.Available[name].Owner))
					}
				}
			}
			return found
		},
	},
	{
		Code: "cron_owner", Theme: Extensions, Planning: Error,
		Facts: []facts.Part{"available_extensions", "cron_owner_writes"},
		Find: func(s *Subject) []Finding {
			// pg_cron writes its tables as the owner of the extension.
			if s.CronOwnerWrites == nil || *s.CronOwnerWrites || s.tooOld("pg_cron") {
				return nil
			}
			return one(About("The extension pg_cron", "belongs to role %s, which may not write cron.job: cron.schedule fails with \"permission denied for table job\"", s.Available["pg_cron"].Owner).At(atSchedules))
		},
	},
	{
		Code: "cron_database", Theme: Extensions, Planning: Error, Asked: SchedulerDown,
		Facts: []facts.Part{"parameters", "server"},
		Find:  func(s *Subject) []Finding { return s.otherDatabase("cron.database_name", "pg_cron runs no job") },
	},
	{
		Code: "net_database", Theme: Extensions, Planning: Error, Asked: Failing,
		Facts: []facts.Part{"parameters", "server"},
		Find: func(s *Subject) []Finding {
			return s.otherDatabase("pg_net.database_name", "pg_net sends no request")
		},
	},
}

// otherDatabase looks at a parameter that names the database of an extension's
// process.
func (s *Subject) otherDatabase(parameter, consequence string) []Finding {
	database := s.Parameters[parameter]
	if database == "" || database == s.Server.Database {
		return nil
	}
	return one(About("The setting "+parameter, "is %s, so %s of database %s", database, consequence, s.Server.Database).
		With("Run `alter system set %s = '%s'`, and restart the server.", parameter, s.Server.Database))
}

// missingCall is the first function of an extension that the installation calls
// and that is not where it calls it.
func (s *Subject) missingCall(extension string) (string, bool) {
	for _, call := range neededOf[extension].calls {
		if _, ok := s.Calls[call]; !ok {
			return call, true
		}
	}
	return "", false
}

// tooOld reports whether the installed version of an extension lacks what is needed.
func (s *Subject) tooOld(extension string) bool {
	version, ok := parseVersion(s.Available[extension].Installed)
	oldest := neededOf[extension].oldest
	return ok && slices.Compare(version[:], oldest[:]) < 0
}

// parseVersion reads the first two numbers of an extension's version: pg_cron
// 1.4.2 calls itself 1.4-1.
func parseVersion(version string) ([2]int, bool) {
	parts := strings.FieldsFunc(version, func(c rune) bool { return c == '.' || c == '-' })
	if len(parts) < 2 {
		return [2]int{}, false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return [2]int{major, minor}, errMajor == nil && errMinor == nil
}

package restore

import (
	"context"
	_ "embed" // for the queries
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// The queries of a restore.
var (
	//go:embed queries/settings.sql
	settingsSQL string
	//go:embed queries/target.sql
	targetSQL string
	//go:embed queries/columns.sql
	columnsSQL string
	//go:embed queries/functions.sql
	functionsSQL string
)

// target is what queries/target.sql returns.
type target struct {
	Database           string   `json:"database"`
	Role               string   `json:"role"`
	Version            int      `json:"version"`
	VersionText        string   `json:"version_text"`
	Encoding           string   `json:"encoding"`
	ReadOnly           bool     `json:"read_only"`
	MayCreateSchemas   bool     `json:"may_create_schemas"`
	MayCreateTemporary bool     `json:"may_create_temporary"`
	MayCreateRoles     bool     `json:"may_create_roles"`
	BypassesRLS        bool     `json:"bypasses_rls"`
	Roles              []string `json:"roles"`
	Extensions         []string `json:"extensions"`
	AllSchemas         []string `json:"all_schemas"`
	Schemas            []struct {
		Name      string   `json:"name"`
		Exists    bool     `json:"exists"`
		MayCreate bool     `json:"may_create"`
		Owned     bool     `json:"owned"`
		Relations []string `json:"relations"`
	} `json:"schemas"`
	RenamedExists bool `json:"renamed_exists"`
}

// public is the schema that the option Schema renames.
const public = "public"

// schemas are the schemas that the copy fills.
func (r *run) schemas() []string {
	var names []string
	for _, t := range r.copy.Tables {
		names = append(names, t.Schema)
	}
	for _, live := range r.copy.Restores {
		names = append(names, live.Live[0])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ask reads the target.
func (r *run) ask(ctx context.Context, session *postgres.Session) error {
	schemas, err := json.Marshal(r.schemas())
	if err != nil {
		return err
	}
	return queryJSON(ctx, session, &r.target, targetSQL, string(schemas), r.Schema)
}

// queryJSON runs a query that returns at most one document. It reports
// errNothing if there is none.
func queryJSON(ctx context.Context, session *postgres.Session, into any, sql string, args ...any) error {
	rows, err := session.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0][0] == nil {
		return errNothing
	}
	return json.Unmarshal([]byte(*rows[0][0]), into)
}

var errNothing = errors.New("there is no such object")

// inspect lists everything in the target that stands against a restore.
func (r *run) inspect(ctx context.Context, session *postgres.Session) error {
	if err := session.Exec(ctx, "begin read only; "+settingsSQL); err != nil {
		return err
	}
	if err := r.ask(ctx, session); err != nil {
		return err
	}
	if err := session.Exec(ctx, "rollback"); err != nil {
		return err
	}
	t := &r.target
	r.result.Target = &Target{Database: t.Database, Project: r.url.Project(), Role: t.Role, ServerVersion: t.VersionText, Schema: r.Schema}
	r.inspectIdentity()
	r.inspectServer()
	r.inspectSchemas()
	return nil
}

// inspectIdentity compares the target with the name that the user has confirmed.
func (r *run) inspectIdentity() {
	want, what := r.target.Database, "the name of the database in `database_url`"
	if ref := r.url.Project(); ref != "" {
		want, what = ref, "the project of `database_url`"
	}
	switch r.Confirm {
	case want:
	case "":
		r.block("confirm", fmt.Sprintf("`confirm` is missing: the target is %q", want), "check that this is the database you mean, and set `confirm` to it")
	default:
		r.block("confirm", fmt.Sprintf("`confirm` is not %s: it is %q, and the target is %q", what, text.Head(text.Line(r.Confirm), 60), want), "check `database_url`")
	}
}

// inspectServer looks at the server and the role.
func (r *run) inspectServer() {
	t := &r.target
	if source := major(r.copy.Source.ServerVersion); source > t.Version/10000 {
		r.block("database_url", fmt.Sprintf("the target is PostgreSQL %d, and the backup is of %d", t.Version/10000, source), "use a server that is at least as new: an older one does not know everything in the schema")
	}
	if t.Encoding != "UTF8" {
		r.block("database_url", fmt.Sprintf("the target's encoding is %s; the backup's is UTF8", t.Encoding), "create the database with encoding UTF8")
	}
	if t.ReadOnly {
		r.block("database_url", "the target is read-only", "use the primary server")
	}
	if !t.MayCreateTemporary {
		r.block("database_url", fmt.Sprintf("the role %s may not create temporary tables", t.Role), fmt.Sprintf("grant temporary on database %s to %s", t.Database, t.Role))
	}
	r.warn("the free disk space of the target is not known; the rows need about %s, and the server's log as much again", size(r.rawBytes()))
}

// rawBytes is the size of all rows.
func (r *run) rawBytes() (sum int64) {
	for _, t := range r.copy.Tables {
		sum += t.RawBytes
	}
	return sum
}

// major returns the major version of a server, or 0.
func major(version string) int {
	n, _ := strconv.Atoi(strings.FieldsFunc(version+" ", func(c rune) bool { return c < '0' || c > '9' })[0])
	return n
}

// inspectSchemas looks for tables in the way, and whether the role may create some.
func (r *run) inspectSchemas() {
	t := &r.target
	if r.Schema != "" && t.RenamedExists {
		r.block("schema", fmt.Sprintf("the schema %q exists in the target", r.Schema), "choose another name, or drop it")
	}
	if r.Schema != "" && !t.MayCreateSchemas {
		r.block("schema", fmt.Sprintf("the role %s may not create schemas in the database %s", t.Role, t.Database), fmt.Sprintf("grant create on database %s to %s", t.Database, t.Role))
	}
	for _, s := range t.Schemas {
		switch {
		case s.Name == public && r.Schema != "":
			if !s.Owned {
				r.block("schema", fmt.Sprintf("the role %s does not own the schema public, and so cannot set it aside", t.Role), "connect as the owner of the database")
			}
		case !s.Exists && !t.MayCreateSchemas:
			r.block("database_url", fmt.Sprintf("the schema %s is missing, and the role %s may not create schemas", s.Name, t.Role), fmt.Sprintf("grant create on database %s to %s", t.Database, t.Role))
		case len(s.Relations) > 0:
			shown := strings.Join(s.Relations[:min(5, len(s.Relations))], ", ")
			if more := len(s.Relations) - 5; more > 0 {
				shown += fmt.Sprintf(" and %d more", more)
			}
			r.block("database_url", fmt.Sprintf("the schema %s of the target is not empty: it has %s", s.Name, text.Line(shown)), "restore into an empty database, or set `schema`")
		case !s.MayCreate:
			r.block("database_url", fmt.Sprintf("the role %s may not create tables in the schema %s", t.Role, s.Name), fmt.Sprintf("grant create on schema %s to %s", s.Name, t.Role))
		}
	}
}

// What the SQL of a schema creates where it is missing, as auto_backup.schema_sql writes
// it.
const (
	createRole      = `(?m)^\s*create role ("(?:[^"]|"")+"|[a-z0-9_$]+) nologin;`
	createSchema    = `(?m)^\s*create schema ("(?:[^"]|"")+"|[a-z0-9_$]+);`
	createExtension = `(?m)^\s*create extension if not exists ("(?:[^"]|"")+"|[a-z0-9_$]+)`
)

// created returns the names that a pattern finds in the schema's SQL.
func (r *run) created(pattern string) (names []string) {
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(r.before, -1) {
		name := match[1]
		if strings.HasPrefix(name, `"`) {
			name = strings.ReplaceAll(strings.Trim(name, `"`), `""`, `"`)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// require compares what the schema's SQL needs with what the target has.
func (r *run) require() {
	t := &r.target
	for _, role := range r.created(createRole) {
		if !slices.Contains(t.Roles, role) && !t.MayCreateRoles {
			r.block("database_url", fmt.Sprintf("the role %q is missing, and %s may not create roles", role, t.Role), fmt.Sprintf("create it: create role %s nologin", role))
		}
	}
	for _, schema := range r.created(createSchema) {
		if !slices.Contains(t.AllSchemas, schema) && !t.MayCreateSchemas {
			r.block("database_url", fmt.Sprintf("the schema %s is missing, and the role %s may not create schemas", schema, t.Role), fmt.Sprintf("grant create on database %s to %s", t.Database, t.Role))
		}
	}
	for _, extension := range r.created(createExtension) {
		if !slices.Contains(t.Extensions, extension) {
			r.warn("the extension %s is not available on the target's server; what needs it is left out", extension)
		}
	}
}

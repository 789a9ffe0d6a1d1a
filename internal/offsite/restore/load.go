package restore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/bucket"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite/manifest"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// stage is the temporary table into which the lines are copied.
const stage = "pg_temp.aimindset_line"

// load restores everything in one transaction.
func (r *run) load(ctx context.Context, session *postgres.Session) error {
	// Two restores into one database come one after the other, and the second one finds
	// the tables of the first.
	if err := session.Exec(ctx, "begin; select pg_catalog.pg_advisory_xact_lock(7214051964012217); "+settingsSQL); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := r.ask(ctx, session); err != nil {
		return fmt.Errorf("look at the target: %w", err)
	}
	if r.inspectSchemas(); len(r.result.Blockers) > 0 {
		r.result.State = Blocked
		return r.blocked()
	}
	aside, err := r.setAside(ctx, session)
	if err != nil {
		return err
	}
	if err := r.schema(ctx, session, manifest.Before, r.before); err != nil {
		return err
	}
	if err := session.Exec(ctx, "create temporary table aimindset_line (d text) on commit drop"); err != nil {
		return fmt.Errorf("create a temporary table: %w", err)
	}
	place, loaded := len(r.copy.Schema), int64(0)
	for _, t := range r.copy.Tables {
		if r.ignored(t) {
			place += len(t.Parts)
			continue
		}
		if err := r.loadTable(ctx, session, t, &place, &loaded); err != nil {
			return fmt.Errorf("load %s: %w", text.Line(t.String()), err)
		}
	}
	fills, err := r.fill(ctx, session)
	if err != nil {
		return err
	}
	if err := r.schema(ctx, session, manifest.After, r.after); err != nil {
		return err
	}
	if err := r.compare(ctx, session, fills); err != nil {
		return err
	}
	if err := r.rename(ctx, session, aside); err != nil {
		return err
	}
	if err := r.check(ctx, session); err != nil {
		return err
	}
	if !session.InTransaction() {
		return errors.New("the transaction ended before its time; nothing is known of what it left behind")
	}
	// A pooler would hand the settings of this session, which the schema's SQL has
	// changed too, to its next client.
	if err := session.Exec(ctx, "reset all; commit"); err != nil {
		r.result.State = Unknown
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	r.tell("restored: %d rows in %d tables", loaded, len(r.copy.Tables))
	return nil
}

// ignored says that the rows of a table are there a second time: as a whole.
func (r *run) ignored(t manifest.Table) bool {
	return t.Source == manifest.Stored && r.whole([2]string{t.Schema, t.Name})
}

// whole says that a table was copied as a whole.
func (r *run) whole(name [2]string) bool {
	return slices.ContainsFunc(r.copy.Tables, func(t manifest.Table) bool {
		return t.Source == manifest.Live && t.Schema == name[0] && t.Name == name[1]
	})
}

// setAside makes room for the schema public of the copy, if it is to have another name,
// and returns the name that the target's own has meanwhile.
func (r *run) setAside(ctx context.Context, session *postgres.Session) (aside string, err error) {
	if r.Schema == "" {
		return "", nil
	}
	if slices.Contains(r.target.AllSchemas, public) {
		aside = "aimindset_aside_" + strings.ToLower(rand.Text())
		if err := session.Exec(ctx, "alter schema public rename to "+quoted(aside)); err != nil {
			return "", fmt.Errorf("set the schema public aside: %w", err)
		}
	}
	if err := session.Exec(ctx, "create schema public"); err != nil {
		return "", fmt.Errorf("create a schema: %w", err)
	}
	return aside, nil
}

// rename gives the schema public of the copy its name, and the target's own its name
// back.
func (r *run) rename(ctx context.Context, session *postgres.Session, aside string) error {
	if r.Schema == "" {
		return nil
	}
	script := "alter schema public rename to " + quoted(r.Schema)
	if aside != "" {
		script += "; alter schema " + quoted(aside) + " rename to public"
	}
	if err := session.Exec(ctx, script); err != nil {
		return fmt.Errorf("rename the schema to %q: %w", r.Schema, err)
	}
	var functions []string
	if err := queryJSON(ctx, session, &functions, functionsSQL, r.Schema); err != nil {
		return fmt.Errorf("look at the functions: %w", err)
	}
	if len(functions) > 0 {
		r.warn("the texts of these functions name the schema public, and were not changed: %s", text.Line(strings.Join(functions, ", ")))
	}
	return nil
}

// schema runs a section of the schema's SQL.
func (r *run) schema(ctx context.Context, session *postgres.Session, section, script string) error {
	err := session.Exec(ctx, script)
	for _, warning := range session.Warnings() {
		r.warn("schema, section %s: %s", section, warning)
	}
	if err != nil {
		return fmt.Errorf("schema, section %s: %w", section, err)
	}
	if !session.InTransaction() {
		return fmt.Errorf("the schema's section %s has ended the transaction", section)
	}
	return session.Exec(ctx, settingsSQL)
}

// column is a column of a table in the target.
type column struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Generated bool   `json:"generated"`
}

// columns returns those of a table in the target.
func columns(ctx context.Context, session *postgres.Session, schema, name string) ([]column, error) {
	var found struct {
		Columns []column `json:"columns"`
	}
	err := queryJSON(ctx, session, &found, columnsSQL, schema, name)
	return found.Columns, err
}

// loadTable loads the parts of a table. The types are those of the target, which must be
// those of the manifest: no text of the manifest becomes a part of a statement.
func (r *run) loadTable(ctx context.Context, session *postgres.Session, t manifest.Table, place *int, loaded *int64) error {
	there, err := columns(ctx, session, t.Schema, t.Name)
	if errors.Is(err, errNothing) {
		return errors.New("the schema's SQL has not created the table; see the warnings")
	}
	if err != nil {
		return err
	}
	var names, values, fields []string
	for _, c := range t.Columns {
		at := slices.IndexFunc(there, func(h column) bool { return h.Name == c.Name })
		computed := slices.Contains(t.Generated, c.Name)
		if at < 0 || there[at].Generated != computed {
			return fmt.Errorf("the schema's SQL has not created the column %s", text.Line(c.Name))
		}
		if there[at].Type != c.Type {
			return fmt.Errorf("the column %s is of type %s, and of %s in the manifest", text.Line(c.Name), text.Line(there[at].Type), text.Line(c.Type))
		}
		if computed {
			continue
		}
		names = append(names, quoted(c.Name))
		fields = append(fields, quoted(c.Name)+" text")
		values = append(values, fmt.Sprintf("x.%s::%s", quoted(c.Name), there[at].Type))
	}
	table := quoted(t.Schema) + "." + quoted(t.Name)
	insert := fmt.Sprintf("insert into %s default values", table)
	if len(names) > 0 {
		insert = fmt.Sprintf("insert into %s (%s) overriding system value select %s from %s l cross join lateral pg_catalog.json_to_record(l.d::json) as x (%s)",
			table, strings.Join(names, ", "), strings.Join(values, ", "), stage, strings.Join(fields, ", "))
	}
	for _, p := range t.Parts {
		data, err := os.ReadFile(r.file(*place))
		if err == nil {
			err = bucket.Check(data, p.File)
		}
		var raw []byte
		if err == nil {
			raw, err = r.open(ctx, p.Sealed, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Key, err)
		}
		*place++
		// No line of JSON contains these two characters, so no value is quoted.
		n, err := session.Copy(ctx, bytes.NewReader(raw), "copy "+stage+" (d) from stdin with (format csv, quote e'\\x01', delimiter e'\\x02')")
		if err == nil && n != p.Rows {
			err = fmt.Errorf("%d rows were copied instead of %d", n, p.Rows)
		}
		if err == nil {
			err = session.Exec(ctx, insert)
		}
		if err == nil {
			err = session.Exec(ctx, "truncate "+stage)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Key, err)
		}
		*loaded += n
		r.tellShare(fmt.Sprintf("loaded %d of %d rows", *loaded, r.copy.Rows()), *loaded, r.copy.Rows())
	}
	return nil
}

// A filled table is a live table that was filled from the rows of the stored backup.
type filled struct{ live, copied [2]string }

// fill fills the live tables that were not copied as a whole. The keys that refer to
// them are created later, so their order does not matter.
func (r *run) fill(ctx context.Context, session *postgres.Session) (fills []filled, err error) {
	for _, restore := range r.copy.Restores {
		name := text.Line(restore.Live[0] + "." + restore.Live[1])
		if r.whole(restore.Live) {
			continue
		}
		live, err := columns(ctx, session, restore.Live[0], restore.Live[1])
		if errors.Is(err, errNothing) {
			r.warn("%s was not filled: the schema's SQL has not created it", name)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		copied, err := columns(ctx, session, restore.Copy[0], restore.Copy[1])
		if err != nil {
			return nil, fmt.Errorf("fill %s from %s: %w", name, text.Line(strings.Join(restore.Copy[:], ".")), err)
		}
		var names, values, lost []string
		for _, c := range live {
			from := c.Name
			switch {
			case c.Generated:
				continue
			case restore.Columns != nil:
				from = restore.Columns[c.Name]
			case c.Name == "id":
				if slices.ContainsFunc(copied, func(o column) bool { return o.Name == originalID }) {
					from = originalID
				}
			}
			at := slices.IndexFunc(copied, func(o column) bool { return o.Name == from })
			if at < 0 {
				lost = append(lost, c.Name)
				continue
			}
			value := "c." + quoted(from)
			if copied[at].Type != c.Type {
				value += "::" + c.Type
			}
			names, values = append(names, quoted(c.Name)), append(values, value)
		}
		if len(names) == 0 {
			r.warn("%s was not filled: no column of it is in the backup", name)
			continue
		}
		where := ""
		if r.whole(restore.Copy) {
			where = " where c.backup_id::text = " + literal(r.copy.BackupID)
		}
		insert := fmt.Sprintf("insert into %s.%s (%s) overriding system value select %s from %s.%s c%s", quoted(restore.Live[0]), quoted(restore.Live[1]),
			strings.Join(names, ", "), strings.Join(values, ", "), quoted(restore.Copy[0]), quoted(restore.Copy[1]), where)
		if err := session.Exec(ctx, insert); err != nil {
			return nil, fmt.Errorf("fill %s: %w", name, err)
		}
		if len(lost) > 0 {
			r.warn("%s was filled from the stored rows, which do not have its columns %s", name, text.Line(strings.Join(lost, ", ")))
		}
		fills = append(fills, filled{restore.Live, restore.Copy})
	}
	return fills, nil
}

// originalID is the column of a copy that has the id of the live table, unless the
// function that makes the backup says otherwise.
const originalID = "original_id"

// compare counts the rows of every table, computes their digest as the project did, and
// compares both with the manifest.
func (r *run) compare(ctx context.Context, session *postgres.Session, fills []filled) error {
	for _, t := range r.copy.Tables {
		if r.ignored(t) {
			continue
		}
		var texts []string
		for _, c := range t.Columns {
			// A row whose fields are all null is not null.
			texts = append(texts, fmt.Sprintf("case when pg_catalog.num_nulls(b.%[1]s) = 0 then pg_catalog.format('%%s', b.%[1]s) end as %[1]s", quoted(c.Name)))
		}
		name := text.Line(t.String())
		rows, err := session.Query(ctx, fmt.Sprintf(
			"select pg_catalog.count(*), coalesce(pg_catalog.sum(('x' || pg_catalog.substr(pg_catalog.md5(l.line), 1, 16))::bit(64)::bigint), 0) from (select pg_catalog.row_to_json(x.*)::text as line from %s.%s b cross join lateral (select %s) as x) l",
			quoted(t.Schema), quoted(t.Name), strings.Join(texts, ", ")))
		if err != nil {
			return fmt.Errorf("compare %s: %w", name, err)
		}
		r.assert("rows of "+name, fmt.Sprint(t.Rows), *rows[0][0])
		r.assert("digest of "+name, t.Digest.String(), *rows[0][1])
	}
	for _, f := range fills {
		rows, err := session.Query(ctx, fmt.Sprintf("select (select pg_catalog.count(*) from %s.%s c where c.backup_id::text = $1::text), (select pg_catalog.count(*) from %s.%s)",
			quoted(f.copied[0]), quoted(f.copied[1]), quoted(f.live[0]), quoted(f.live[1])), r.copy.BackupID)
		name := text.Line(f.live[0] + "." + f.live[1])
		if err != nil {
			return fmt.Errorf("count %s: %w", name, err)
		}
		r.assert("rows of "+name, *rows[0][0], *rows[0][1])
	}
	return r.failed(0)
}

func (r *run) assert(subject, expected, found string) {
	r.result.Assertions = append(r.result.Assertions, Assertion{subject, expected, found, expected == found})
}

// failed returns the assertions, from one on, that are not as expected.
func (r *run) failed(from int) error {
	var wrong []string
	for _, a := range r.result.Assertions[from:] {
		if !a.OK {
			wrong = append(wrong, "- "+a.String())
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("the restored rows are not what the manifest says; everything was rolled back:\n%s", strings.Join(wrong, "\n"))
}

// check asks the user's own questions. None of them can change anything.
func (r *run) check(ctx context.Context, session *postgres.Session) error {
	from := len(r.result.Assertions)
	for i, sql := range r.CheckSQL {
		if err := session.Exec(ctx, "savepoint aimindset_check"); err != nil {
			return fmt.Errorf("`check_sql`: %w", err)
		}
		found := "true"
		rows, err := session.Query(ctx, sql)
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			found = "an error: " + text.Line(err.Error())
		case len(rows) != 1 || len(rows[0]) != 1:
			found = fmt.Sprintf("%d rows", len(rows))
			if len(rows) > 0 {
				found += fmt.Sprintf(" of %d columns", len(rows[0]))
			}
		case rows[0][0] == nil:
			found = "null"
		case *rows[0][0] != "t" && *rows[0][0] != "true":
			found = "false"
			if *rows[0][0] != "f" && *rows[0][0] != "false" {
				found = "another value"
			}
		}
		r.assert(fmt.Sprintf("check_sql[%d]", i), "true", found)
		if err := session.Exec(ctx, "rollback to savepoint aimindset_check; release savepoint aimindset_check"); err != nil {
			return fmt.Errorf("`check_sql`[%d] has ended the transaction: %w", i, err)
		}
	}
	if err := session.Exec(ctx, settingsSQL); err != nil {
		return err
	}
	var wrong []string
	for _, a := range r.result.Assertions[from:] {
		if !a.OK {
			wrong = append(wrong, "- "+a.String())
		}
	}
	switch {
	case len(wrong) == 0:
		return nil
	case r.Keep:
		r.warn("kept although statements of `check_sql` did not return true")
		return nil
	}
	return fmt.Errorf("statements of `check_sql` did not return one row with true; everything was rolled back:\n%s", strings.Join(wrong, "\n"))
}

// quoted quotes an identifier, literal a text.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

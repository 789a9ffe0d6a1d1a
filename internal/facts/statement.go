package facts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// statement is the text that asks for some parts. Its first parameter is a JSON
// array of the backups' names, the others are parameters in this order.
type statement struct {
	sql        string
	parameters []string
}

// statements are the statements of all requests so far, by what they depend on. They are
// few: a plan asks the same of every project.
var statements sync.Map

// statementOf returns the statement of a request.
func statementOf(request Request) (statement, error) {
	key := fmt.Sprint(request.Parts, request.Installed, request.Strict)
	if known, ok := statements.Load(key); ok {
		return known.(statement), nil //nolint:forcetypeassert // nothing else is stored
	}
	s, err := load().build(request)
	if err == nil {
		statements.Store(key, s)
	}
	return s, err
}

// builder puts a statement together.
type builder struct {
	library
	request   Request
	order     []string // of the parameters
	relations map[string]map[string]bool
	with      []string // their texts, in order
	included  map[string]bool
}

// build makes the statement of a request.
func (l library) build(request Request) (statement, error) {
	b := &builder{library: l, request: request, relations: map[string]map[string]bool{}, included: map[string]bool{}}
	if len(request.Parts) == 0 {
		return statement{}, errors.New("facts: no part is asked for")
	}
	var shared, own []string
	for _, name := range request.Parts {
		part, ok := b.parts[string(name)]
		if !ok {
			return statement{}, fmt.Errorf("facts: there is no part %q", name)
		}
		row, err := b.row(part)
		if err != nil {
			return statement{}, err
		}
		if part.ofBackup {
			own = append(own, row)
		} else {
			shared = append(shared, row)
		}
	}
	// The planner takes rows of VALUES for less than as many SELECTs.
	var parts []string
	if len(shared) > 0 {
		parts = append(parts, "select null::text, p.* from (values "+strings.Join(shared, ",\n    ")+") as p")
	}
	if len(own) > 0 {
		parts = append(parts, "select asked.name, p.* from asked cross join lateral (values "+strings.Join(own, ",\n    ")+") as p")
	}
	installed := ""
	if request.Installed {
		part := b.parts["backups"]
		b.probe(part.needs)
		installed = "union\n    select b.name\n    from jsonb_array_elements_text(case when " + b.usable(part.needs) + " then " +
			b.reading(quoted(part.sql)) + " end) as b (name)"
	}
	return statement{strings.NewReplacer(
		"@needed@", b.needed(), "@usable@", b.condition(), "@installed@", installed, "@with@", strings.Join(b.with, ""),
		"@parts@", strings.Join(parts, "\n    union all\n    "), "@read p.query@", b.reading("p.query"),
	).Replace(b.wrapper), b.order}, nil
}

// row is what the wrapper is told of a part: name, needs, value, query.
func (b *builder) row(part source) (string, error) {
	if err := b.include(part.with); err != nil {
		return "", err
	}
	b.probe(part.needs)
	b.probe(part.wants)
	value, query := "null::jsonb", "null::text"
	switch part.kind {
	case kindValue:
		value = "(\n" + b.bind(part.sql, part.ofBackup, false) + "\n    )::jsonb"
	case kindQuery:
		query = b.bind(part.sql, part.ofBackup, true)
	case kindText:
		// It may not be evaluated where it would wait.
		query = "case when " + b.usable(part.needs) + " then (\n" + b.bind(part.sql, part.ofBackup, false) + "\n    ) end"
	case kindWith:
		return "", fmt.Errorf("facts: %s is not a part", part.name)
	}
	names := make([]string, len(part.needs))
	for i, need := range part.needs {
		names[i] = need.name
	}
	return fmt.Sprintf("('%s', '{%s}'::text[], %s, %s)", part.name, strings.Join(names, ","), value, query), nil
}

// include puts in the with-queries on which something is based, once each.
func (b *builder) include(names []string) error {
	for _, name := range names {
		if b.included[name] {
			continue
		}
		b.included[name] = true
		query, ok := b.library.with[name]
		if !ok {
			return fmt.Errorf("facts: there is no query %q to base a part on", name)
		}
		if err := b.include(query.with); err != nil {
			return err
		}
		b.probe(query.needs)
		b.probe(query.wants)
		text := b.bind(query.sql, false, false)
		if query.kind == kindQuery {
			text = "select case when " + b.usable(query.needs) + " then " + b.reading(b.bind(query.sql, false, true)) + " end as value"
		}
		b.with = append(b.with, fmt.Sprintf("\n%s as materialized (\n%s\n),\n", name, text))
	}
	return nil
}

// bind puts the parameters into a text of SQL. A query becomes an expression of
// its text, in which they are literals, as query_to_xml takes none.
func (b *builder) bind(sql string, ofBackup, query bool) string {
	text := parameterPattern().ReplaceAllStringFunc(sql, func(match string) string {
		name := match[2 : len(match)-1]
		expression := "asked.name"
		if name != "backup" || !ofBackup {
			at := slices.Index(b.order, name)
			if at < 0 {
				at = len(b.order)
				b.order = append(b.order, name)
			}
			expression = "$" + strconv.Itoa(at+2) + "::text"
		}
		if query {
			return quote + " || quote_nullable(" + expression + ") || " + quote
		}
		return expression
	})
	if query {
		return quoted(text)
	}
	return text
}

// quote stands around the text of a query.
const quote = "$part$"

func quoted(sql string) string { return quote + sql + quote }

func (b *builder) reading(query string) string {
	return strings.Replace(b.read, "@query@", query, 1)
}

// probe notes that relations have to be looked up, with the columns that are read.
func (b *builder) probe(relations []relation) {
	for _, r := range relations {
		if b.relations[r.name] == nil {
			b.relations[r.name] = map[string]bool{}
		}
		for _, column := range r.columns {
			b.relations[r.name][column] = true
		}
	}
}

// needed are the rows of the wrapper's relations.
func (b *builder) needed() string {
	rows := []string{"('', '{}'::text[])"}
	for _, name := range slices.Sorted(maps.Keys(b.relations)) {
		rows = append(rows, fmt.Sprintf("('%s', '{%s}')", name, strings.Join(slices.Sorted(maps.Keys(b.relations[name])), ",")))
	}
	return strings.Join(rows, ",\n    ")
}

// usable is the condition under which relations are read.
func (b *builder) usable(needs []relation) string {
	if len(needs) == 0 {
		return "true"
	}
	names := make([]string, len(needs))
	for i, need := range needs {
		names[i] = "'" + need.name + "'"
	}
	return fmt.Sprintf("(select count(*) = %d from probed where probed.relation in (%s) and probed.usable)", len(names), strings.Join(names, ", "))
}

// condition says which states of a relation let it be read.
func (b *builder) condition() string {
	if b.request.Strict {
		return "s.state <> 'missing'"
	}
	return "s.state = 'readable'"
}

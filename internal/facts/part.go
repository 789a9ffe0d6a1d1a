package facts

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Part names something that can be asked of a project's database. Each is a file
// in parts, named after it.
//
// A file begins with a header, one comment line for each property:
//
//	-- name: the part's name
//	-- kind: value: the statement reads the catalogue only, and gives the value;
//	--       query: it reads tables, and is run only if all that it needs can be read;
//	--       text: it gives the text of such a query, or no row
//	-- of: backup, for a part that each backup has its own of
//	-- needs: schema.table (columns)    one line for each; without it the part is left out
//	-- wants: schema.table, …           like needs, but not required
//	-- with: the queries in the directory with on which it is based
//	-- parameters: the names that it uses as :'name'
//
// Other comment lines say what it is about. The rest is one SELECT of one value
// of type jsonb or text. psql runs it as it is, after \set of its parameters.
type Part string

// kind says what the statement of a part is.
type kind string

const (
	kindValue kind = "value"
	kindQuery kind = "query"
	kindText  kind = "text"
	// kindWith is a query of the directory with, on which parts are based. One that
	// is a query itself has one row with one column, value.
	kindWith kind = "with"
)

// source is a part as its file has it.
type source struct {
	name       string
	kind       kind
	ofBackup   bool
	needs      []relation
	wants      []relation
	with       []string
	parameters []string
	sql        string
}

// relation is a table, view or sequence with the columns that are read of it.
type relation struct {
	name    string
	columns []string
}

//go:embed parts/*.sql with/*.sql wrapper.sql read.sql locks.sql
var files embed.FS

// library is all that the files hold.
type library struct {
	parts, with          map[string]source
	wrapper, read, locks string
}

var load = sync.OnceValue(func() library {
	l := library{parts: map[string]source{}, with: map[string]source{}}
	text := func(name string) string {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("facts: an embedded file is missing: %v", err))
		}
		return string(content)
	}
	directory := func(name string, into map[string]source) {
		entries, err := files.ReadDir(name)
		if err != nil {
			panic(fmt.Sprintf("facts: an embedded directory is missing: %v", err))
		}
		for _, entry := range entries {
			s, err := parse(text(path.Join(name, entry.Name())))
			if err == nil && s.name+".sql" != entry.Name() {
				err = fmt.Errorf("its name is %q", s.name)
			}
			if err != nil {
				panic(fmt.Sprintf("facts: %s/%s: %v", name, entry.Name(), err))
			}
			into[s.name] = s
		}
	}
	directory("parts", l.parts)
	directory("with", l.with)
	l.wrapper, l.read = text("wrapper.sql"), strings.TrimSpace(text("read.sql"))
	l.locks = text("locks.sql")
	return l
})

// parse reads the file of a part.
func parse(text string) (source, error) {
	s := source{kind: kindWith}
	for {
		line, rest, more := strings.Cut(text, "\n")
		comment, ok := strings.CutPrefix(line, "--")
		if !ok || !more {
			break
		}
		text = rest
		property, value, _ := strings.Cut(strings.TrimSpace(comment), ": ")
		switch property {
		case "name":
			s.name = value
		case "kind":
			s.kind = kind(value)
		case "of":
			s.ofBackup = value == "backup"
		case "needs":
			name, columns, _ := strings.Cut(strings.TrimSuffix(value, ")"), " (")
			s.needs = append(s.needs, relation{name, list(columns)})
		case "wants":
			for _, name := range list(value) {
				s.wants = append(s.wants, relation{name: name})
			}
		case "with":
			s.with = list(value)
		case "parameters":
			s.parameters = list(value)
		}
	}
	s.sql = strings.TrimSpace(text)
	used := map[string]bool{}
	for _, match := range parameterPattern().FindAllStringSubmatch(s.sql, -1) {
		used[match[1]] = true
	}
	for _, name := range s.parameters {
		if !used[name] {
			return s, fmt.Errorf("it does not use the parameter %s", name)
		}
		delete(used, name)
	}
	switch {
	case s.name == "":
		return s, fmt.Errorf("it has no name")
	case !slices.Contains([]kind{kindValue, kindQuery, kindText, kindWith}, s.kind):
		return s, fmt.Errorf("it is of the kind %q", s.kind)
	case len(used) > 0:
		return s, fmt.Errorf("it uses parameters that it does not declare: %v", used)
	case !strings.HasPrefix(s.sql, "select"):
		return s, fmt.Errorf("it is not one SELECT")
	}
	return s, nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
}

// parameterPattern finds a parameter in the form in which psql puts in a literal.
var parameterPattern = text.Pattern(`:'([a-z_]+)'`)

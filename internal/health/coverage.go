package health

import (
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/plsql"
)

// Coverage is what the text of the SQL function says of what a backup holds.
type Coverage struct {
	// Copied are the tables that it copies from, and NotCopied those with rows
	// that it never names: tables of schema public, the users (auth.users) and the
	// files (storage.objects). Both are sorted, with their schemas.
	Copied, NotCopied []string
}

// coverageFacts are the parts that coverage looks at.
var coverageFacts = []facts.Part{"routines", "named_relations", "filled"}

// coverage reads what the SQL function copies. It returns nil where the text
// could not be read, or is not SQL.
func (a *assessment) coverage() *Coverage {
	routine, ok := a.subject.Callee()
	if !ok || routine.Source == "" || routine.Language != "plpgsql" && routine.Language != "sql" {
		return nil
	}
	path := facts.DataAPIPath
	if own, ok := routine.Setting("search_path"); ok {
		path = facts.SearchPath(own)
	}
	text := plsql.Read(routine.Source)
	c := Coverage{Copied: []string{}, NotCopied: []string{}}
	targets := map[string]bool{}
	for _, into := range text.Inserts {
		targets[into.Into.Name] = true
		for _, alias := range into.Sources {
			from := into.From[alias]
			if from.Name == "" || !a.subject.Named(from.Schema, from.Name, path) {
				continue
			}
			schema := from.Schema
			for _, in := range path {
				if schema == "" && a.subject.Named(in, from.Name, nil) {
					schema = in
				}
			}
			c.Copied = append(c.Copied, schema+"."+from.Name)
		}
	}
	slices.Sort(c.Copied)
	c.Copied = slices.Compact(c.Copied)
	for _, table := range a.subject.Filled {
		schema, name, _ := strings.Cut(table, ".")
		named := schema == "public" && text.Words[name]
		if !named && !slices.Contains(c.Copied, table) && !targets[name] {
			c.NotCopied = append(c.NotCopied, table)
		}
	}
	slices.Sort(c.NotCopied)
	return &c
}

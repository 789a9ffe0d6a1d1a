package facts

import (
	"strings"
	"testing"
)

// small is a library with one part of each kind.
func small() library {
	config := relation{"own.config", []string{"b", "a"}}
	return library{
		parts: map[string]source{
			"value":   {name: "value", kind: kindValue, sql: "select 1 where :'p'", parameters: []string{"p"}},
			"each":    {name: "each", kind: kindValue, ofBackup: true, sql: "select :'backup' || :'p'"},
			"query":   {name: "query", kind: kindQuery, sql: "select c from t where x = :'q' and :'p'", needs: []relation{{"own.t", []string{"c"}}, config}, wants: []relation{{name: "own.w"}}},
			"text":    {name: "text", kind: kindText, sql: "select 'select 1'", needs: []relation{{"own.t", []string{"d"}}}, with: []string{"base"}},
			"backups": {name: "backups", kind: kindQuery, sql: "select names", needs: []relation{{name: "own.names"}}},
			"lost":    {name: "lost", kind: kindValue, sql: "select 1", with: []string{"deeper"}},
			"with":    {name: "with", kind: kindWith, sql: "select 1"},
		},
		with: map[string]source{
			"base":   {name: "base", kind: kindWith, sql: "select :'r'", with: []string{"root"}, needs: []relation{config}, wants: []relation{{name: "own.w"}}},
			"root":   {name: "root", kind: kindQuery, sql: "select v where :'p'", needs: []relation{{name: "own.root"}}},
			"deeper": {name: "deeper", kind: kindWith, sql: "select 1", with: []string{"nowhere"}},
		},
		wrapper: "needed @needed@; usable @usable@; installed @installed@; with @with@; parts @parts@; reads @read p.query@",
		read:    "read(@query@)",
	}
}

// TestWholeStatement proves, by the whole text, how a statement is put together:
// which relations are looked up, under which condition each part is read, where
// parameters become literals, and what stands where nothing is asked for.
func TestWholeStatement(t *testing.T) {
	t.Parallel()
	const tail = "; reads read(p.query)"
	for name, c := range map[string]struct {
		request          Request
		want, parameters string
	}{
		"a value": {
			Request{Parts: []Part{"value"}},
			"needed ('', '{}'::text[]); usable s.state = 'readable'; installed ; with ; parts select null::text, p.* from (values " +
				"('value', '{}'::text[], (\nselect 1 where $2::text\n    )::jsonb, null::text)) as p" + tail, "p",
		},
		"one of each backup, strictly": {
			Request{Parts: []Part{"each"}, Strict: true},
			"needed ('', '{}'::text[]); usable s.state <> 'missing'; installed ; with ; parts select asked.name, p.* from asked cross join lateral (values " +
				"('each', '{}'::text[], (\nselect asked.name || $2::text\n    )::jsonb, null::text)) as p" + tail, "p",
		},
		"a query": {
			Request{Parts: []Part{"query"}},
			"needed ('', '{}'::text[]),\n    ('own.config', '{a,b}'),\n    ('own.t', '{c}'),\n    ('own.w', '{}'); usable s.state = 'readable'; installed ; with ; " +
				"parts select null::text, p.* from (values ('query', '{own.t,own.config}'::text[], null::jsonb, " +
				"$part$select c from t where x = $part$ || quote_nullable($2::text) || $part$ and $part$ || quote_nullable($3::text) || $part$$part$)) as p" + tail, "q p",
		},
		"a text that is based on others": {
			Request{Parts: []Part{"text"}},
			"needed ('', '{}'::text[]),\n    ('own.config', '{a,b}'),\n    ('own.root', '{}'),\n    ('own.t', '{d}'),\n    ('own.w', '{}'); usable s.state = 'readable'; installed ; with " +
				"\nroot as materialized (\nselect case when (select count(*) = 1 from probed where probed.relation in ('own.root') and probed.usable) then read($part$select v where $part$ || quote_nullable($2::text) || $part$$part$) end as value\n),\n" +
				"\nbase as materialized (\nselect $3::text\n),\n; parts select null::text, p.* from (values ('text', '{own.t}'::text[], null::jsonb, " +
				"case when (select count(*) = 1 from probed where probed.relation in ('own.t') and probed.usable) then (\nselect 'select 1'\n    ) end)) as p" + tail, "p r",
		},
		"several, and all that are installed": {
			Request{Parts: []Part{"value", "each", "value"}, Installed: true},
			"needed ('', '{}'::text[]),\n    ('own.names', '{}'); usable s.state = 'readable'; installed union\n    select b.name\n    from jsonb_array_elements_text(case when " +
				"(select count(*) = 1 from probed where probed.relation in ('own.names') and probed.usable) then read($part$select names$part$) end) as b (name); with ; " +
				"parts select null::text, p.* from (values ('value', '{}'::text[], (\nselect 1 where $2::text\n    )::jsonb, null::text),\n    ('value', '{}'::text[], (\nselect 1 where $2::text\n    )::jsonb, null::text)) as p" +
				"\n    union all\n    select asked.name, p.* from asked cross join lateral (values ('each', '{}'::text[], (\nselect asked.name || $2::text\n    )::jsonb, null::text)) as p" + tail, "p",
		},
	} {
		got, err := small().build(c.request)
		if err != nil || got.sql != c.want || strings.Join(got.parameters, " ") != c.parameters {
			t.Errorf("%s, parameters %q, %v:\n%s\nwant\n%s", name, got.parameters, err, got.sql, c.want)
		}
	}
	for part, says := range map[Part]string{"": "no part is asked for", "nonsense": `no part "nonsense"`, "lost": `no query "nowhere"`, "with": "with is not a part"} {
		parts := []Part{part}
		if part == "" {
			parts = nil
		}
		if got, err := small().build(Request{Parts: parts}); err == nil || !strings.Contains(err.Error(), says) || got.sql != "" {
			t.Errorf("%q gives %q, %v", part, got.sql, err)
		}
	}
	// What two parts are based on is there once.
	l := small()
	l.parts["again"] = l.parts["text"]
	if got, err := l.build(Request{Parts: []Part{"text", "again"}}); err != nil || strings.Count(got.sql, "as materialized") != 2 {
		t.Errorf("%v, the statement is\n%s", err, got.sql)
	}
}

package source

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestSpecifiers proves which pieces of a text are imports: every form that
// TypeScript has, and nothing that only looks like one in a comment, a string,
// a template, a regular expression, a property or a method.
func TestSpecifiers(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ text, want string }{
		"nothing":                  {"", ""},
		"named":                    {`import { a } from "./a.ts"`, "./a.ts"},
		"single quotes":            {`import a from './a.ts'`, "./a.ts"},
		"namespace":                {`import * as a from "./a.ts"`, "./a.ts"},
		"default and named":        {`import a, { b as c } from "./a.ts"`, "./a.ts"},
		"types":                    {`import type { A } from "./a.ts"; import { type B } from "./b.ts"`, "./a.ts ./b.ts"},
		"side effect":              {`import"./a.ts"`, "./a.ts"},
		"without blanks":           {`import{a}from"./a.ts";export*from"./b.ts"`, "./a.ts ./b.ts"},
		"export from":              {`export { a } from "./a.ts"; export * as b from "./b.ts"`, "./a.ts ./b.ts"},
		"export type":              {`export type { A } from "./a.ts"`, "./a.ts"},
		"with attributes":          {`import d from "./d.json" with { type: "json" }`, "./d.json"},
		"over lines":               {"import {\n  a,\n  // a note: from \"./b.ts\"\n  b,\n}\nfrom\n\"./a.ts\"", "./a.ts"},
		"carriage returns":         {"import {\r\n a } from \"./a.ts\";\r\nimport \"./b.ts\";\r\n", "./a.ts ./b.ts"},
		"byte order mark":          {"\ufeffimport \"./a.ts\"", "./a.ts"},
		"no semicolons":            {"const x = 1\nimport \"./a.ts\"\nexport const from = 2\nexport * from \"./b.ts\"", "./a.ts ./b.ts"},
		"remote":                   {`import "jsr:@std/assert@1"; import "npm:left-pad"; import "https://esm.sh/x"`, "https://esm.sh/x jsr:@std/assert@1 npm:left-pad"},
		"bare":                     {`import "lodash"; import { z } from "zod/v4"`, "lodash zod/v4"},
		"sorted, each once":        {`import "./b.ts"; import "./a.ts"; import("./b.ts")`, "./a.ts ./b.ts"},
		"escapes":                  {`import "./\u0061.ts"; import "./\x62.ts"; import("./\u{64}.json"); import "./\e.ts"`, "./a.ts ./b.ts ./d.json ./e.ts"},
		"an escaped letter":        {`import "./\é.ts"`, "./é.ts"},
		"an escaped quote":         {`import "./a\".ts"; import './b\'.ts'`, `./a".ts ./b'.ts`},
		"dynamic":                  {`const a = await import("./a.ts"); import ( './b.ts' , { with: {} } )`, "./a.ts ./b.ts"},
		"dynamic over lines":       {"await import(\n  // why\n  \"./a.ts\",\n)", "./a.ts"},
		"dynamic template":         {"await import(`./a.ts`)", "./a.ts"},
		"in a template":            {"const s = `${await import(\"./a.ts\")} and ${`${await import('./b.ts')}`}`", "./a.ts ./b.ts"},
		"braces in a template":     {"const s = `${[1].map((x) => { return { x }; })}`; import(\"./a.ts\")", "./a.ts"},
		"an object in a template":  {"const s = `${{ x: 1 }.x + await import(\"./a.ts\")}`", "./a.ts"},
		"a regexp in a template":   {"const s = tag`${/\"/.test(x)}`; import(\"./a.ts\")", "./a.ts"},
		"an escape in a template":  {"const s = `\\``; import(\"./a.ts\")", "./a.ts"},
		"after a backquote":        {"const re = /`/; import(\"./a.ts\"); const s = '`'", "./a.ts"},
		"after a regexp":           {`const re = /["']/g, c = /[/"]/; import("./a.ts")`, "./a.ts"},
		"after an escaped regexp":  {`const re = /\/"/; import("./a.ts"); const s = '"'`, "./a.ts"},
		"a regexp first":           {`/"/.test(x); import("./a.ts")`, "./a.ts"},
		"a regexp in a group":      {`(/"/).test(x); import("./a.ts")`, "./a.ts"},
		"a regexp for an element":  {`a[0]=/"/; import("./a.ts")`, "./a.ts"},
		"a regexp after a comment": {"x = /* \" */ /'/; import(\"./a.ts\")", "./a.ts"},
		"after a division":         {"const x = a / b; import(\"./a.ts\"); const y = c / d", "./a.ts"},
		"division by a group":      {"const x = (a + b) / 2, s = \"./gone.ts\"; import(\"./a.ts\"); x / 3", "./a.ts"},
		"division of an element":   {"const x = a[0] / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"division of a text":       {"const x = \"4\" / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"division of a template":   {"const x = `4` / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"division of a filled one": {"const x = `${4}` / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"division of a regexp":     {"const x = /4/ / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"division of a property":   {"const x = o.return / 2; import(\"./a.ts\"); y / 3", "./a.ts"},
		"a lone slash":             {"const x = a\n/ b; import(\"./a.ts\")", "./a.ts"},
		"after return":             {"function f() { return /import \"x\"/ }\nimport(\"./a.ts\")", "./a.ts"},
		"after a long line":        {"const x" + strings.Repeat("y", 70) + " = /\"/; import(\"./a.ts\")", "./a.ts"},
		"after an apostrophe":      {"// it's\nimport \"./a.ts\" /* isn't */", "./a.ts"},
		"in JSX":                   {"const x = <p>it's</p>;\nimport(\"./a.ts\")", "./a.ts"},
		"line comment":             {`// import "./gone.ts"`, ""},
		"block comment":            {"/* import \"./gone.ts\"\n * export * from './gone.ts' */", ""},
		"the shortest comment":     {"/**/import \"./a.ts\"", "./a.ts"},
		"not yet a comment":        {"/*/ import \"./gone.ts\" */import \"./a.ts\"", "./a.ts"},
		"text":                     {`const s = "import './gone.ts'", t = 'import "./gone.ts"'`, ""},
		"escaped quote in a text":  {`const s = "a\"; import './gone.ts'"`, ""},
		"template":                 {"const s = `\nimport \"./gone.ts\"\n`", ""},
		"escaped template":         {"const s = `\\${import(\"./gone.ts\")}\\`import './gone.ts'`", ""},
		"regexp":                   {`const re = /import "\.\/gone\.ts"/; const c = /[/]import("x")/`, ""},
		"a class of a regexp":      {`const c = /[\]/"]import("x")/`, ""},
		"method":                   {`loader.import("./gone.ts"); loader?.import("./gone.ts"); reimport("./gone.ts"); $import("./gone.ts")`, ""},
		"property":                 {`const o = { import: "./gone.ts", from: "./gone.ts" }`, ""},
		"meta":                     {`import.meta.resolve("./gone.ts"); new URL("./gone.ts", import.meta.url)`, ""},
		"computed":                 {"await import(name); await import(`./${name}.ts`); await import(\"./\" + name)", ""},
		"a number, not a text":     {"import(0); import(7)", ""},
		"unfinished":               {"const s = `${import(", ""},
		"unfinished text":          {"import \"./a.ts\"; import \"./gone.ts", "./a.ts"},
		"unfinished comment":       {"import \"./a.ts\" /* no end", "./a.ts"},
		"a brace too much":         {"} import \"./a.ts\"", "./a.ts"},
		"export of a value":        {`export const s = "x"; const from = "./gone.ts"`, ""},
		"export default":           {`export default "./gone.ts"`, ""},
	} {
		found, err := specifiers(t.Context(), c.text)
		if got := strings.Join(found, " "); got != c.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, c.want)
		}
	}
}

// TestCode proves, by the whole result, what the lexer makes of each kind of
// text. Anything that it skipped or kept in excess would show.
func TestCode(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		text, code string
		quoted     string // separated by bars
	}{
		"literals":                  {`f("a", 'b\'', "")`, `f("0", "1", "2")`, `a|b\'|`},
		"templates":                 {"a = `b` + `\\``;", "a = `0` + `1`;", "b|\\`"},
		"substitutions":             {"a = `b${c + \"d\"}e${f}g`;", `a = (c + "0")(f)0;`, "d"},
		"a template in a template":  {"`a${`b${c}d`}e` + `f`", "((c)0)0 + `0`", "f"},
		"braces":                    {"`${{ a: {} }}` + {}", "({ a: {} })0 + {}", ""},
		"comments":                  {"a// b\nc/* d\n */e", "a\nc e", ""},
		"the end in a comment":      {"a /* b", "a  ", ""},
		"regular expressions":       {`a = /b"/g; c = [/[/]/, /\//];`, `a = 0g; c = [0, 0];`, ""},
		"divisions":                 {"a = b / c / 2;", "a = b / c / 2;", ""},
		"two lines":                 {"a = b /\nc / d", "a = b /\nc / d", ""},
		"after keywords":            {"return /a/; case /b/: throw  /c/; o.in /d/ 2", "return 0; case 0: throw  0; o.in /d/ 2", ""},
		"after a longer word":       {"returns /a/ 2; $in /b/ 2; in1 /c/ 2", "returns /a/ 2; $in /b/ 2; in1 /c/ 2", ""},
		"apostrophes in JSX":        {"<p>it's</p>\n'a'", "<p>it's</p>\n\"0\"", "a"},
		"a literal over lines":      {"\"a\\\nb\" + c", `"0" + c`, "a\\\nb"},
		"the end in a literal":      {`a = "b`, `a = "b`, ""},
		"a single quote":            {`'`, `'`, ""},
		"the end in a template":     {"a = `b", "a = `0`", "b"},
		"the end in an escape":      {"`a\\", "`0`", "a\\"},
		"the end in a substitution": {"`a${b", "(b)0", ""},
	} {
		l := lexer{text: c.text}
		if err := l.run(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := l.code.String(); got != c.code {
			t.Errorf("%s: the code is %q, want %q", what, got, c.code)
		}
		if got := strings.Join(l.quoted, "|"); got != c.quoted {
			t.Errorf("%s: the literals are %q, want %q", what, got, c.quoted)
		}
	}
}

// TestLexerIsLinear proves, by the number of bytes that the lexer looks at, that
// twice the text takes twice the work, also if it seems to begin something that
// never ends at every other byte.
func TestLexerIsLinear(t *testing.T) {
	t.Parallel()
	for what, piece := range map[string]string{
		"escaped double quotes": `\"`, "escaped single quotes": `\'`, "both": `\"\'`, "quotes after many backslashes": strings.Repeat(`\`, 9) + `"`,
		"regular expressions without an end": "=/[a", "with escapes": `=/[\a`, "with classes": "=/[a]", "regular expressions that divide": ")/[", "and end": ")/[a]/",
		"slashes": "a / ", "opened templates": "`", "comments": "/*", "apostrophes": "it's ", "lines": "it's\n", "imports": "import ", "imports from": `import a from "b`,
		"braces in a template": "`${{", "closed templates": "`${a}`",
	} {
		steps := func(n int) int {
			l := lexer{text: strings.Repeat(piece, n/len(piece))}
			if err := l.run(t.Context()); err != nil && !errors.Is(err, errNested) {
				t.Fatal(err)
			}
			return l.steps
		}
		const n = 32 << 10
		one, two := steps(n), steps(2*n)
		if one > 4*n || two > one*21/10+100 {
			t.Errorf("%s: %d steps for %d bytes, %d for twice as many", what, one, n, two)
		}
	}
	// What ends is not affected by a search before it that did not.
	l := lexer{text: `x = '\"' + it's "b" + '\'' /[/ c]/ "d"` + "\n\"e\""}
	if err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(l.quoted, "|"); got != `\"|s "b" + ||d|e` {
		t.Errorf("the literals are %q", got)
	}
}

// TestLexerEnds proves that the lexer ends with its context, and that templates
// inside each other without end are refused rather than followed.
func TestLexerEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := specifiers(ctx, `import "./a.ts"`); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", found, err)
	}
	if found, err := specifiers(t.Context(), strings.Repeat("`${", maxNested)+`import("./a.ts")`); err != nil || len(found) != 1 {
		t.Errorf("at the limit: %v, %v", found, err)
	}
	if found, err := specifiers(t.Context(), strings.Repeat("`${", maxNested+1)); !errors.Is(err, errNested) {
		t.Errorf("above the limit: %v, %v", found, err)
	}
}

// TestPlainJSON proves what is left of the JSON that Deno accepts: strings
// untouched, no comments, no trailing commas.
func TestPlainJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		`{"a": [1, 2]}`:               `{"a": [1, 2]}`,
		"\ufeff{}":                    `{}`,
		"{} // end":                   `{} `,
		"// first\n{}":                "\n{}",
		"{/* a */}":                   `{ }`,
		"{/*/ a */}":                  `{ }`,
		"{/**/}":                      `{ }`,
		"[1,/**/]":                    `[1]`,
		"/*":                          " ",
		`{"//x": "/* y */"}`:          `{"//x": "/* y */"}`,
		`{"a\"//": 1}`:                `{"a\"//": 1}`,
		"[1,]":                        `[1]`,
		"[1 , // one\n ]":             `[1 ]`,
		"{\"a\": {\"b\": 1,\r\n},\t}": `{"a": {"b": 1}}`,
		`["a,", ]`:                    `["a,"]`,
		`["unfinished`:                `["unfinished`,
		"/* unfinished":               " ",
	} {
		if got := plainJSON(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

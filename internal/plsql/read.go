// Package plsql reads what the text of an SQL function says of the tables that it
// uses, without running it.
package plsql

// Routine is what a static scan of a function finds: which tables it fills and from
// which, which it empties, which it names at all. It reads static SQL and PL/pgSQL.
// It is not a parser of the language: what it does not understand is unknown, not
// wrong.
type Routine struct {
	// Inserts are the statements of the form INSERT INTO … SELECT … or VALUES.
	Inserts []Insert
	// Uses are all tables that a statement names, once per use. Temporary tables
	// and those of WITH are not among them.
	Uses []Use
	// Performs are the functions that are called for their effect, by PERFORM or
	// CALL.
	Performs []Name
	// Unfiltered are the tables of DELETE and UPDATE without WHERE.
	Unfiltered []Name
	// Dynamic says that it runs SQL that it puts together at run time.
	Dynamic bool
	// Cautious says that it checks whether something exists before it uses it.
	Cautious bool
	// Variables are the names that DECLARE and FOR introduce.
	Variables map[string]bool
	// Words are all identifiers and keywords of the text, in lower case unless
	// quoted, and Texts its string constants.
	Words map[string]bool
	Texts []string
	// Raises says that it raises an exception, and Skips that it returns null.
	Raises, Skips bool
	// NewFields are the fields of NEW that a trigger function names.
	NewFields []string
}

// Name is the name of a relation or function, with its schema or without.
type Name struct{ Schema, Name string }

// String returns the name as SQL writes it, but without quotes.
func (n Name) String() string {
	if n.Schema == "" {
		return n.Name
	}
	return n.Schema + "." + n.Name
}

// Use is a table in a statement.
type Use struct {
	Table Name
	// Right is the one that the statement needs: S(elect), I(nsert), U(pdate),
	// D(elete) or T(runcate).
	Right byte
	// Sheltered says that an inner block catches a failure, and the function goes
	// on.
	Sheltered bool
}

// Insert is one INSERT.
type Insert struct {
	Into Name
	// Columns are those that the statement names; empty if it names none.
	Columns []string
	// Values are the selected values, one for each column. They are empty unless
	// the statement is one plain SELECT.
	Values []Value
	// From are the tables of the SELECT and of those inside it, by their aliases.
	// The name is empty for a subquery, a function, and a table of the function's
	// own.
	From map[string]Name
	// Sources are the aliases of the tables of which it copies rows.
	Sources []string
	// Filtered says that it has a WHERE, JOIN, LIMIT or the like, so that not every
	// row is copied.
	Filtered bool
	// Fields are the references of the form alias.column. Some are something else,
	// such as schema.table: their alias is not in From.
	Fields []Value
	// Settles says that it has ON CONFLICT.
	Settles bool
	// Sheltered says that an inner block catches a failure.
	Sheltered bool

	// plain says that it is one SELECT, of which no alias is used twice.
	plain bool
}

// Simple reports whether the statement is one plain SELECT from one table, subquery
// or function.
func (i Insert) Simple() bool { return i.plain && len(i.Sources) == 1 }

// Value is one value that an INSERT selects. It is zero unless it is a column or a
// star.
type Value struct {
	// Alias and Column name a column. Without an alias it may be a variable.
	Alias, Column string
	// Cast says that the value is converted by ::.
	Cast bool
	// Star says that it stands for all columns of Alias, or of all tables.
	Star bool
}

// reader walks over the tokens of one function.
type reader struct {
	tokens []token
	// sheltered tells for each token whether an inner block with an exception
	// handler contains it.
	sheltered []bool
	// local are the names that the function gives to tables of its own: temporary
	// tables and those of WITH.
	local map[string]bool
	found *Routine
}

// Read scans the body of a function. It accepts any text.
func Read(source string) Routine {
	found := Routine{Words: map[string]bool{}, Variables: map[string]bool{}}
	r := reader{tokens: tokenize(source), local: map[string]bool{}, found: &found}
	r.markSheltered()
	r.collectNames()
	for i := range r.tokens {
		r.statement(i)
	}
	return found
}

func (r *reader) at(i int) token {
	if i >= 0 && i < len(r.tokens) {
		return r.tokens[i]
	}
	return token{kind: symbol, text: ";"}
}

// markSheltered finds the inner blocks that catch exceptions. After the outermost
// handler the function ends, after an inner one it goes on.
func (r *reader) markSheltered() {
	type block struct {
		start  int
		isCase bool
		catch  bool
	}
	r.sheltered = make([]bool, len(r.tokens))
	var open []block
	for i, t := range r.tokens {
		switch {
		case t.is("begin"):
			open = append(open, block{start: i})
		case t.is("case") && !r.at(i-1).is("end"):
			open = append(open, block{start: i, isCase: true})
		case t.is("exception") && r.at(i+1).is("when") && len(open) > 0:
			open[len(open)-1].catch = true
		case t.is("end") && !r.at(i+1).is("if", "loop") && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			if last.catch && !last.isCase && len(open) > 0 {
				for j := last.start; j < i; j++ {
					r.sheltered[j] = true
				}
			}
		}
	}
}

// collectNames gathers the words, the names of the function's own tables and
// those of its variables.
func (r *reader) collectNames() {
	declaring := false
	for i, t := range r.tokens {
		if t.kind == textConstant {
			r.found.Texts = append(r.found.Texts, t.text)
		}
		if t.named() {
			r.found.Words[t.text] = true
		}
		switch {
		case t.is("declare"):
			declaring = true
		case t.is("begin"):
			declaring = false
		case t.is("for", "foreach") && r.at(i+2).is("in", "slice"):
			r.found.Variables[r.at(i+1).text] = true
		case t.is("as") && (r.at(i+1).sign("(") || r.at(i+1).is("materialized", "not")) && r.at(i-1).named():
			r.local[r.at(i-1).text] = true // WITH name AS (
		case t.sign(")") && r.at(i+1).is("as") && (r.at(i+2).sign("(") || r.at(i+2).is("materialized", "not")):
			if j := r.opening(i); r.at(j - 1).named() {
				r.local[r.at(j-1).text] = true // WITH name (columns) AS (
			}
		case t.is("temp", "temporary") && r.at(i+1).is("table"):
			j := i + 2
			for r.at(j).is("if", "not", "exists") {
				j++
			}
			r.local[r.at(j).text] = true
		case t.is("execute"):
			r.found.Dynamic = true
		case t.is("to_regclass", "information_schema", "pg_class", "pg_tables", "undefined_table"):
			r.found.Cautious = true
		case t.is("raise") && (r.at(i+1).is("exception") || r.at(i+1).kind == textConstant):
			r.found.Raises = true
		case t.is("return") && r.at(i+1).is("null"):
			r.found.Skips = true
		case t.is("new") && r.at(i+1).sign(".") && r.at(i+2).named():
			r.found.NewFields = append(r.found.NewFields, r.at(i+2).text)
		}
		if declaring && t.named() && !t.is("declare") && (r.at(i-1).is("declare") || r.at(i-1).sign(";")) {
			r.found.Variables[t.text] = true
		}
	}
}

// opening finds the parenthesis that the one at i closes.
func (r *reader) opening(i int) int {
	depth := 0
	for ; i >= 0; i-- {
		switch {
		case r.tokens[i].sign(")"):
			depth++
		case r.tokens[i].sign("("):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// name reads a name at i and returns the index behind it.
func (r *reader) name(i int) (Name, int) {
	if !r.at(i).named() {
		return Name{}, i
	}
	if r.at(i+1).sign(".") && r.at(i+2).named() {
		return Name{r.at(i).text, r.at(i + 2).text}, i + 3
	}
	return Name{"", r.at(i).text}, i + 1
}

func (r *reader) use(n Name, right byte, i int) {
	if n.Name == "" || n.Schema == "" && r.local[n.Name] {
		return
	}
	r.found.Uses = append(r.found.Uses, Use{n, right, r.sheltered[min(i, len(r.sheltered)-1)]})
}

// statement reads the statement that begins at token i, if one does.
func (r *reader) statement(i int) {
	t, before := r.at(i), r.at(i-1)
	switch {
	case t.is("insert") && r.at(i+1).is("into"):
		r.insert(i)
	case t.is("update") && !before.is("for", "do", "no", "on") && r.at(i+1).named() && !r.at(i+1).is("set", "of", "skip"):
		j := i + 1
		if r.at(j).is("only") {
			j++
		}
		n, after := r.name(j)
		r.use(n, 'U', i)
		if !r.filtered(after) && !r.local[n.Name] {
			r.found.Unfiltered = append(r.found.Unfiltered, n)
		}
	case t.is("delete") && r.at(i+1).is("from"):
		j := i + 2
		if r.at(j).is("only") {
			j++
		}
		n, after := r.name(j)
		r.use(n, 'D', i)
		if !r.filtered(after) && !r.local[n.Name] {
			r.found.Unfiltered = append(r.found.Unfiltered, n)
		}
	case t.is("truncate"):
		j := i + 1
		if r.at(j).is("table") {
			j++
		}
		for {
			if r.at(j).is("only") {
				j++
			}
			n, after := r.name(j)
			r.use(n, 'T', i)
			if !r.at(after).sign(",") || after == j {
				break
			}
			j = after + 1
		}
	case t.is("from") && !before.is("distinct", "delete") && !r.inFunctionOfFrom(i), t.is("join"):
		r.sources(i)
	case t.is("perform", "call"):
		if n, after := r.name(i + 1); after > i+1 && r.at(after).sign("(") {
			r.found.Performs = append(r.found.Performs, n)
		}
	}
}

// inFunctionOfFrom tells extract(epoch from x) and its like from a FROM.
func (r *reader) inFunctionOfFrom(i int) bool {
	depth := 0
	for j := i - 1; j >= 0 && !r.at(j).sign(";"); j-- {
		switch {
		case r.at(j).sign(")"):
			depth++
		case r.at(j).sign("("):
			if depth == 0 {
				return r.at(j-1).is("extract", "substring", "trim", "overlay", "btrim", "position")
			}
			depth--
		}
	}
	return false
}

// source reads one item of a FROM at i: a table with its alias. The name is
// empty for a subquery or a function.
func (r *reader) source(i int) (n Name, alias string, after int) {
	for r.at(i).is("only", "lateral") {
		i++
	}
	if r.at(i).sign("(") {
		after = r.closing(i) + 1
	} else {
		n, after = r.name(i)
		if after == i {
			return Name{}, "", i
		}
		alias = n.Name
		if r.at(after).sign("(") {
			n, after = Name{}, r.closing(after)+1
		}
	}
	if r.at(after).is("as") {
		after++
	}
	if r.at(after).kind == quotedWord || r.at(after).kind == word && !r.at(after).is(
		"where", "group", "order", "limit", "offset", "having", "union", "except", "intersect", "join", "inner", "left", "right", "full",
		"cross", "natural", "on", "using", "for", "fetch", "window", "returning", "loop", "set", "then", "into", "tablesample", "do",
	) {
		alias = r.at(after).text
		after++
	}
	return n, alias, after
}

// closing finds the parenthesis that closes the one at i.
func (r *reader) closing(i int) int {
	depth := 0
	for ; i < len(r.tokens); i++ {
		switch {
		case r.tokens[i].sign("("):
			depth++
		case r.tokens[i].sign(")"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}

// sources notes the tables of the FROM or JOIN at i.
func (r *reader) sources(i int) {
	for j := i + 1; ; {
		n, _, after := r.source(j)
		if n.Name != "" && !r.found.Variables[n.Name] {
			r.use(n, 'S', i)
		}
		if after == j || !r.at(after).sign(",") || r.at(i).is("join") {
			return
		}
		j = after + 1
	}
}

// end finds the end of the statement at i: a semicolon, or a parenthesis that
// closes around it.
func (r *reader) end(i int) int {
	depth := 0
	for ; i < len(r.tokens); i++ {
		switch t := r.tokens[i]; {
		case t.sign("("):
			depth++
		case t.sign(")"):
			if depth--; depth < 0 {
				return i
			}
		case t.sign(";"):
			return i
		}
	}
	return i
}

func (r *reader) filtered(i int) bool {
	for end := r.end(i); i < end; i++ {
		if r.at(i).is("where") {
			return true
		}
	}
	return false
}

// insert reads the INSERT at i.
func (r *reader) insert(i int) {
	n, j := r.name(i + 2)
	r.use(n, 'I', i)
	if n.Name == "" || n.Schema == "" && r.local[n.Name] {
		return
	}
	into := Insert{Into: n, From: map[string]Name{}, Sheltered: r.sheltered[i]}
	if r.at(j).is("as") {
		j += 2
	}
	end := r.end(i)
	if r.at(j).sign("(") && !r.at(j+1).is("select", "with", "values") {
		for j++; j < end && !r.at(j).sign(")"); j++ {
			if r.at(j).named() {
				into.Columns = append(into.Columns, r.at(j).text)
			}
		}
		j++
	}
	for k := j; k < end; k++ {
		if r.at(k).is("on") && r.at(k+1).is("conflict") {
			into.Settles = true
		}
	}
	if r.at(j).is("select") {
		r.selection(j+1, end, &into)
	}
	r.found.Inserts = append(r.found.Inserts, into)
}

// selection reads the SELECT of an INSERT: its list from i on, and its FROM.
func (r *reader) selection(i, end int, into *Insert) {
	depth, from := 0, -1
	plain := true
	for k := i; k < end; k++ {
		t := r.at(k)
		switch {
		case t.sign("("):
			depth++
		case t.sign(")"):
			depth--
		case depth == 0 && t.is("from") && !r.at(k-1).is("distinct") && from < 0:
			from = k
		case depth == 0 && t.is("where", "limit", "join", "group", "having", "offset", "fetch"):
			into.Filtered = true
		case depth == 0 && t.is("union", "except", "intersect"):
			plain = false
		}
	}
	if from < 0 {
		return
	}
	for k := from; k < end; k++ {
		switch t := r.at(k); {
		case t.sign("("):
			depth++
		case t.sign(")"):
			depth--
		}
		if !r.at(k).is("from", "join") || r.at(k-1).is("distinct") || r.inFunctionOfFrom(k) {
			continue
		}
		for j := k + 1; ; {
			n, alias, after := r.source(j)
			_, twice := into.From[alias]
			if twice {
				plain = false // which one is meant is not known
			}
			if n.Name != "" && n.Schema == "" && r.local[n.Name] {
				n = Name{}
			}
			if !twice || depth == 0 {
				into.From[alias] = n
			}
			if depth == 0 {
				into.Sources = append(into.Sources, alias)
			}
			if after == j || !r.at(after).sign(",") || r.at(k).is("join") {
				break
			}
			j = after + 1
		}
	}
	if into.plain = plain; !plain {
		return
	}
	for k := i; k < end; k++ {
		if r.at(k).named() && r.at(k+1).sign(".") && r.at(k+2).named() && !r.at(k+3).sign("(") && !r.at(k+3).sign(".") && !r.at(k-1).sign(".") {
			into.Fields = append(into.Fields, Value{Alias: r.at(k).text, Column: r.at(k + 2).text})
		}
	}
	if r.at(i).is("distinct", "all") {
		return
	}
	item := i
	for k := i; k <= from; k++ {
		t := r.at(k)
		switch {
		case t.sign("("):
			depth++
		case t.sign(")"):
			depth--
		case depth == 0 && (t.sign(",") || k == from):
			into.Values = append(into.Values, r.value(item, k))
			item = k + 1
		}
	}
}

// value reads one item of a select list.
func (r *reader) value(i, end int) Value {
	var v Value
	switch {
	case r.at(i).sign("*"):
		return Value{Star: true}
	case r.at(i).named() && r.at(i+1).sign(".") && r.at(i+2).sign("*"):
		return Value{Alias: r.at(i).text, Star: true}
	case r.at(i).named() && r.at(i+1).sign(".") && r.at(i+2).named():
		v = Value{Alias: r.at(i).text, Column: r.at(i + 2).text}
		i += 3
	case r.at(i).named():
		v = Value{Column: r.at(i).text}
		i++
	default:
		return Value{}
	}
	if r.at(i).sign("::") {
		v.Cast = true
		for i++; i < end && (r.at(i).named() || r.at(i).sign(".") || r.at(i).sign("[") || r.at(i).sign("]")) && !r.at(i).is("as"); i++ {
		}
	}
	if r.at(i).is("as") {
		i += 2
	} else if i == end-1 && r.at(i).named() {
		i++ // an alias without AS
	}
	if i != end {
		return Value{}
	}
	return v
}

package stack

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// runQuery is a stand-in for the service behind POST database/query: it runs SQL in a
// connection of its own and returns the rows as a JSON array.
//
// Without parameters it uses the simple protocol: several statements are one
// transaction, and the result is the last one with rows. With parameters it uses the
// extended protocol, which accepts one statement. It leaves out the limit on the size of
// a result, and column types other than PostgreSQL's own.
func runQuery(ctx context.Context, databaseURL, query string, parameters []any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout = 15 * time.Second
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "53300" {
			return nil, apiErrorf(http.StatusServiceUnavailable, "Failed to run sql query: %s", refused.Message)
		}
		return nil, apiErrorf(544, "Failed to run sql query: Connection terminated due to connection timeout")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	var results *pgconn.MultiResultReader
	if len(parameters) == 0 {
		results = conn.Exec(ctx, query)
	} else {
		return runBoundQuery(ctx, conn, query, parameters)
	}
	rows := json.RawMessage("[]")
	for results.NextResult() {
		encoded, n := encodeRows(results.ResultReader())
		if n > 0 {
			rows = encoded
		}
	}
	if err := results.Close(); err != nil {
		return nil, queryError(ctx, query, err)
	}
	return rows, nil
}

// queryTimeout is the service's limit for one request.
const queryTimeout = 55 * time.Second

func runBoundQuery(ctx context.Context, conn *pgconn.PgConn, query string, parameters []any) (json.RawMessage, error) {
	values := make([][]byte, len(parameters))
	for i, p := range parameters {
		text, null, err := bindText(p)
		if err != nil {
			return nil, err
		}
		if !null {
			values[i] = []byte(text)
		}
	}
	result := conn.ExecParams(ctx, query, values, nil, nil, nil)
	rows, _ := encodeRows(result)
	if _, err := result.Close(); err != nil {
		return nil, queryError(ctx, query, err)
	}
	return rows, nil
}

// bindText returns a JSON value as node-postgres binds it: arrays become PostgreSQL
// arrays, objects JSON.
func bindText(value any) (text string, null bool, err error) {
	switch v := value.(type) {
	case nil:
		return "", true, nil
	case string:
		return v, false, nil
	case json.Number:
		return v.String(), false, nil
	case bool:
		return strconv.FormatBool(v), false, nil
	case []any:
		text, err := arrayLiteral(v)
		return text, false, err
	default:
		encoded, err := json.Marshal(v)
		return string(encoded), false, err
	}
}

func arrayLiteral(values []any) (string, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		text, null, err := bindText(v)
		switch _, nested := v.([]any); {
		case err != nil:
			return "", err
		case null:
			b.WriteString("NULL")
		case nested:
			b.WriteString(text)
		default:
			b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`)
		}
	}
	b.WriteByte('}')
	return b.String(), nil
}

// encodeRows reads a result as a JSON array of objects, and counts its rows.
func encodeRows(result *pgconn.ResultReader) (json.RawMessage, int) {
	var b bytes.Buffer
	b.WriteByte('[')
	n := 0
	for result.NextRow() {
		if n > 0 {
			b.WriteByte(',')
		}
		n++
		writeRow(&b, result.FieldDescriptions(), result.Values())
	}
	b.WriteByte(']')
	return b.Bytes(), n
}

// writeRow writes one row. Of columns with one name the last one counts, in the
// place of the first, as in a JavaScript object.
func writeRow(b *bytes.Buffer, fields []pgconn.FieldDescription, values [][]byte) {
	last := map[string]int{}
	for i, f := range fields {
		last[f.Name] = i
	}
	b.WriteByte('{')
	written := 0
	for i, f := range fields {
		at := last[f.Name]
		if slices.ContainsFunc(fields[:i], func(o pgconn.FieldDescription) bool { return o.Name == f.Name }) {
			continue
		}
		if written > 0 {
			b.WriteByte(',')
		}
		written++
		b.Write(jsonText(f.Name))
		b.WriteByte(':')
		b.Write(columnValue(fields[at].DataTypeOID, values[at]))
	}
	b.WriteByte('}')
}

// jsonText returns a string as JSON, without the escapes for HTML.
func jsonText(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return bytes.TrimRight(b.Bytes(), "\n")
}

// arrayElement is the element type of the array types whose elements are not
// plain text.
var arrayElement = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.Int2ArrayOID: pgtype.Int2OID, pgtype.Int4ArrayOID: pgtype.Int4OID,
	pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.OIDArrayOID: pgtype.OIDOID, pgtype.Float4ArrayOID: pgtype.Float4OID,
	pgtype.Float8ArrayOID: pgtype.Float8OID, pgtype.JSONArrayOID: pgtype.JSONOID, pgtype.JSONBArrayOID: pgtype.JSONBOID,
	pgtype.TextArrayOID: pgtype.TextOID, pgtype.VarcharArrayOID: pgtype.TextOID, pgtype.BPCharArrayOID: pgtype.TextOID,
	pgtype.NameArrayOID: pgtype.TextOID, pgtype.UUIDArrayOID: pgtype.TextOID, pgtype.NumericArrayOID: pgtype.TextOID,
	pgtype.DateArrayOID: pgtype.TextOID, pgtype.TimestampArrayOID: pgtype.TextOID,
	pgtype.TimestamptzArrayOID: pgtype.TextOID, pgtype.IntervalArrayOID: pgtype.TextOID,
}

// columnValue returns a value in PostgreSQL's text form as JSON.
func columnValue(oid uint32, value []byte) []byte {
	if value == nil {
		return []byte("null")
	}
	if element, ok := arrayElement[oid]; ok {
		return arrayValue(element, value)
	}
	text := string(value)
	switch oid {
	case pgtype.BoolOID:
		return []byte(strconv.FormatBool(text == "t"))
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.OIDOID:
		return value
	case pgtype.Int8OID:
		// Numbers that JavaScript cannot represent exactly stay text.
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n < 1<<53 && n > -(1<<53) {
			return value
		}
	case pgtype.Float4OID, pgtype.Float8OID:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return []byte("null")
		}
		encoded, _ := json.Marshal(f)
		return encoded
	case pgtype.JSONOID, pgtype.JSONBOID:
		var compact bytes.Buffer
		if json.Compact(&compact, value) == nil {
			return compact.Bytes()
		}
	case pgtype.ByteaOID:
		raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`))
		if err == nil {
			data := make([]int, len(raw))
			for i, c := range raw {
				data[i] = int(c)
			}
			encoded, _ := json.Marshal(struct {
				Type string `json:"type"`
				Data []int  `json:"data"`
			}{"Buffer", data})
			return encoded
		}
	}
	return jsonText(text)
}

// arrayValue returns an array in PostgreSQL's text form as JSON. Arrays of several
// dimensions are nested.
func arrayValue(element uint32, value []byte) []byte {
	var b bytes.Buffer
	text := string(value)
	if i := strings.Index(text, "={"); i >= 0 && strings.HasPrefix(text, "[") {
		text = text[i+1:] // explicit bounds
	}
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '{':
			b.WriteByte('[')
			i++
		case '}':
			b.WriteByte(']')
			i++
		case ',':
			b.WriteByte(',')
			i++
		case '"':
			var item strings.Builder
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
				item.WriteByte(text[i])
			}
			i++
			b.Write(columnValue(element, []byte(item.String())))
		default:
			end := i + strings.IndexAny(text[i:], ",}")
			item := text[i:end]
			if item == "NULL" {
				b.WriteString("null")
			} else {
				b.Write(columnValue(element, []byte(item)))
			}
			i = end
		}
	}
	return b.Bytes()
}

// queryError returns the response to SQL that failed.
func queryError(ctx context.Context, query string, err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return apiErrorf(http.StatusBadRequest, "Failed to run sql query: %s", formatQueryError(query, e))
	}
	if ctx.Err() != nil {
		return apiErrorf(http.StatusRequestTimeout, "Failed to run sql query: Query read timeout")
	}
	return apiErrorf(544, "Failed to run sql query: Connection terminated unexpectedly")
}

// formatQueryError writes an error as PostgreSQL's own client would.
func formatQueryError(query string, e *pgconn.PgError) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:  %s: %s\n", e.Severity, e.Code, e.Message)
	if e.Position > 0 {
		before := []rune(query)
		before = before[:min(int(e.Position)-1, len(before))]
		line := strings.Count(string(before), "\n") + 1
		start := strings.LastIndex(string(before), "\n") + 1
		column := len([]rune(string(before)[start:]))
		prefix := fmt.Sprintf("LINE %d: ", line)
		fmt.Fprintf(&b, "%s%s\n%s^\n", prefix, strings.Split(query, "\n")[line-1], strings.Repeat(" ", len(prefix)+column))
	}
	for _, part := range []struct{ label, text string }{
		{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"QUERY", e.InternalQuery}, {"CONTEXT", e.Where},
	} {
		if part.text != "" {
			fmt.Fprintf(&b, "%s:  %s\n", part.label, part.text)
		}
	}
	return b.String()
}

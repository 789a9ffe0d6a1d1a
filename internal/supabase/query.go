package supabase

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/supabase/cli/pkg/api"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// A QueryRequest is SQL to run in a project's database.
type QueryRequest struct {
	// SQL is one statement, or several if there are no Args. Several succeed or
	// fail together.
	SQL string
	// Args are the values of $1 and so on. The database infers their types
	// from the statement, so the SQL must cast each one.
	Args []any
	// ReadOnly runs the SQL as a role that can read everything and write
	// nothing. It may then be sent again.
	ReadOnly bool
}

// ProjectSQL runs SQL in the database of one project.
type ProjectSQL struct {
	Client *Client
	Ref    string
}

// RunSQL runs one statement with the values of $1 and so on, or a script without args; see
// [Client.Query]. With readOnly it can change nothing.
func (p ProjectSQL) RunSQL(ctx context.Context, sql string, args []any, readOnly bool) (json.RawMessage, error) {
	return p.Client.Query(ctx, p.Ref, QueryRequest{SQL: sql, Args: args, ReadOnly: readOnly})
}

// Query runs SQL and returns a JSON array with an object for each row, of the
// last statement that returned any.
//
// An error of PostgreSQL is an *Error with SQLState set; nothing was changed
// then. The API rounds integers above 2^53 in JSON documents.
func (c *Client) Query(ctx context.Context, ref string, q QueryRequest) (json.RawMessage, error) {
	// Small JSON can become large in memory.
	const largestRows = 16 << 20
	k := &call{
		op: "run SQL in the database", resource: "project " + ref, ref: ref,
		endpoint: "POST /database/query", permission: may.writeDatabase,
		effect: adds, timeout: 2 * time.Minute, sql: true, largest: largestRows,
	}
	if q.ReadOnly {
		k.endpoint, k.effect = "POST /database/query/read-only", reads
		k.permission = may.readDatabase
	}
	var args *[]any
	if len(q.Args) > 0 {
		args = &q.Args
	}
	for _, arg := range q.Args {
		if argument, ok := arg.(string); ok {
			for _, value := range append(text.Values(argument), argument) {
				if secretLike(value) {
					c.redactor.Add(value)
				} else if len(value) >= longArgument {
					k.hide = append(k.hide, value)
				}
			}
		}
	}
	_, body, err := c.do(ctx, k, func(client *api.Client) (*http.Response, error) {
		if q.ReadOnly {
			return client.V1ReadOnlyQuery(ctx, ref, api.V1ReadOnlyQueryJSONRequestBody{Query: q.SQL, Parameters: args})
		}
		return client.V1RunAQuery(ctx, ref, api.V1RunAQueryJSONRequestBody{Query: q.SQL, Parameters: args})
	})
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return json.RawMessage("[]"), nil
	}
	if _, err := decode[[]json.RawMessage](k, body); err != nil {
		return nil, err
	}
	return json.RawMessage(body), nil
}

// longArgument is the length, in bytes, from which errors do not quote an
// argument. Shorter ones are names and numbers.
const longArgument = 20

var (
	tokenPattern = text.Pattern(`^[A-Za-z0-9_.~+/=-]+$`)
	uuidPattern  = text.Pattern(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// secretLike reports whether an argument looks like a token or a key. Names of
// objects are shorter, sentences have spaces, and documents have brackets.
func secretLike(text string) bool {
	return len(text) >= longArgument && tokenPattern().MatchString(text) && !uuidPattern().MatchString(text)
}

package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
)

// saying is a Management API that answers every statement with the same text.
type saying json.RawMessage

func (s saying) RunSQL(context.Context, string, []any, bool) (json.RawMessage, error) {
	return json.RawMessage(s), nil
}

// Whatever the Management API answers to a statement, it is a document without
// white space, nothing, or an error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`[{"result":{"a":[1,2.50,"x"]}}]`))
	f.Add([]byte(`[{"result":null}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"result":1},{"result":2}]`))
	f.Add([]byte(`[{"result":1,"result":2}]`))
	f.Add([]byte(`[null]`))
	f.Add([]byte(`{"message":"no"}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := OverAPI(saying(answer)).Query(t.Context(), ReadOnly, "select 1")
		if err != nil || got == nil {
			return
		}
		var compact bytes.Buffer
		if !json.Valid(answer) || json.Compact(&compact, got) != nil || !bytes.Equal(compact.Bytes(), got) {
			t.Errorf("%q gives %q", answer, got)
		}
	})
}

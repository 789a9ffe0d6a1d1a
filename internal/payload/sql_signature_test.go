package payload_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// signature is what auto_backup.post sends as a body's signature, made by other code.
func signature(token, body string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// testSignatures proves that the database makes the HMAC that everybody else makes,
// for keys around the length of a block, and that whoever can read pg_net's queue
// does not find the token there.
func (tdb *testDatabase) testSignatures(t *testing.T) {
	for _, length := range []int{0, 1, 43, 63, 64, 65, 131} {
		for _, message := range []string{"", "Hi There", strings.Repeat("ação\n", 100)} {
			key := strings.Repeat("k\x7fé", 50)[:length]
			got := one[string](t, tdb.owner, `select encode(auto_backup.hmac($1::bytea, $2::bytea), 'hex')`, []byte(message), []byte(key))
			if want := signature(key, message); got != want {
				t.Errorf("a key of %d bytes signs %q with %s, want %s", length, message, got, want)
			}
		}
	}
	// RFC 4231, test case 2.
	if got, want := one[string](t, tdb.owner, `select encode(auto_backup.hmac('what do ya want for nothing?', 'Jefe'), 'hex')`), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; got != want {
		t.Errorf("RFC 4231 has %s, the database %s", want, got)
	}

	s := tdb.newScenario(t)
	s.dispatch("2 06:00:01")
	one[int64](t, s.owner, `select auto_backup.probe($1)`, s.backup)
	for _, role := range []string{"anon", "authenticated", "service_role", "supabase_read_only_user"} {
		conn, err := tdb.admin.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var seen, leaks int
		_, err = conn.Exec(context.Background(), fmt.Sprintf("set role %s", role))
		if err == nil {
			err = conn.QueryRow(context.Background(), `
				select count(*), count(*) filter (where q.headers::text || convert_from(coalesce(q.body, ''), 'UTF8') like '%' || $2 || '%')
				from net.http_request_queue q
				where convert_from(q.body, 'UTF8') like '%' || $1 || '%'`, s.backup, token).Scan(&seen, &leaks)
		}
		if _, reset := conn.Exec(context.Background(), "reset role"); reset != nil {
			t.Fatal(reset)
		}
		conn.Release()
		if err != nil || seen != 2 || leaks != 0 {
			t.Errorf("%s sees %d requests, %d with the token: %v", role, seen, leaks, err)
		}
	}
}

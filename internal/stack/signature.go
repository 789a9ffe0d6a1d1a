package stack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Sign returns the signature of a text with an invocation token, HMAC-SHA256 in
// lower-case hexadecimal. It is made by other code than that of the database and of the
// Edge Function, so that tests can compare.
func Sign(token, text string) string {
	mac := hmac.New(sha256.New, []byte(token))
	_, _ = mac.Write([]byte(text)) // a hash never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// OutcomeText returns what the Edge Function signs of a response or of the context of a
// row in system_logs, as decoded from JSON. kind is the type of that row or, for the
// response to a probe, "probe".
func OutcomeText(kind string, document map[string]any) string {
	alert, _ := document["alert"].(map[string]any)
	lines := []string{"backup-outcome-v1", kind}
	for _, value := range []any{
		document["run_id"], document["revision"], document["code"], document["sqlstate"], document["backup_id"], document["total_records"],
		alert["state"], alert["emails_sent"], alert["emails_failed"], document["error"],
	} {
		if value == nil {
			value = ""
		}
		lines = append(lines, fmt.Sprint(value))
	}
	return strings.Join(lines, "\n")
}

package install

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// statements is a database that keeps what it is sent, and refuses a secret.
type statements struct {
	postgres.DB
	sent    []string
	refused string
}

func (s *statements) Query(_ context.Context, _ postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	names := map[string]string{queries.PutVaultSecret: "put", queries.ReplaceVaultSecret: "replace", queries.RemoveVaultSecrets: "remove"}
	line := []string{names[sql]}
	for _, arg := range args {
		line = append(line, fmt.Sprintf("%T %v", arg, arg))
	}
	s.sent = append(s.sent, strings.Join(line, ", "))
	if s.refused != "" && slices.Contains(args, any(s.refused)) {
		return nil, &postgres.Error{SQLState: "55000", Message: "the vault is closed"}
	}
	return json.RawMessage("true"), nil
}

// TestApplyChannels proves that the URLs and signing secrets go to the database as secrets,
// which never become part of a statement's text; that one which the vault cannot decrypt,
// or of which that is not known, is replaced; that what is as it should be is not written;
// and that the error of a write names the vault's secret and not its value.
func TestApplyChannels(t *testing.T) {
	t.Parallel()
	const (
		beat, ops, former = "auto-backup/heartbeat", "auto-backup/webhook/ops", "auto-backup/webhook/former"

		marker = "managed by terraform-provider-aimindset, backup auto-backup"
	)
	db := &statements{}
	l := &lease{service: NewService(testRef, nil, db), name: "auto-backup", holder: "1", term: time.Minute}
	l.renewed(time.Now())
	var spec backup.Spec
	if err := json.Unmarshal([]byte(`{"ID": {"Name": "auto-backup"}, "Settings": {"heartbeat": {}, "webhooks": {"ops": {}, "same": {}, "new": {}}}}`), &spec); err != nil {
		t.Fatal(err)
	}
	spec.Channels = map[string]string{beat: "https://a/1", ops: "https://b/2", "auto-backup/webhook/same": "https://c/3", "auto-backup/webhook/new": "https://d/4"}
	found := backup.State{
		ID:             spec.ID,
		VaultMarkers:   map[string]string{beat: marker, ops: marker, "auto-backup/webhook/same": marker, former: marker},
		ChannelDigests: map[string]string{beat: "", ops: "x", "auto-backup/webhook/same": backup.DigestOf("https://c/3")},
	}
	if err := l.applyChannels(t.Context(), spec, found); err != nil {
		t.Fatal(err)
	}
	if err := l.removeVaultSecrets(t.Context(), found.ChannelsToRemove(spec)); err != nil {
		t.Fatal(err)
	}
	rest := ", string " + marker + ", string auto-backup, string 1"
	want := []string{
		"replace, string " + beat + ", postgres.Secret https://a/1" + rest,
		"put, string auto-backup/webhook/new, postgres.Secret https://d/4" + rest,
		"put, string " + ops + ", postgres.Secret https://b/2" + rest,
		`remove, string ["` + former + `"]` + rest,
	}
	if !slices.Equal(db.sent, want) {
		t.Errorf("sent were\n%s\ninstead of\n%s", strings.Join(db.sent, "\n"), strings.Join(want, "\n"))
	}

	db.refused = ops
	err := l.applyChannels(t.Context(), spec, found)
	if err == nil || !strings.Contains(err.Error(), "write the vault secret "+ops+": ") || !strings.Contains(err.Error(), "the vault is closed") || strings.Contains(err.Error(), "https://") {
		t.Errorf("the error is %v", err)
	}
}

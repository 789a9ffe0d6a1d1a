package backup

import (
	"maps"
	"reflect"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

const testRef = "abcdefghijklmnopqrst"

// intact returns a spec and the state of an installation that is as the spec
// wants it.
func intact(t *testing.T) (Spec, State) {
	t.Helper()
	settings := func() Settings {
		return Settings{
			Timezone:  "UTC",
			Schedules: map[string]Schedule{"daily": {Cron: "0 3 * * *", Enabled: true, UTC: "0 3 * * *", Zone: "UTC", Hours: []int{3}}},
			Function:  FunctionSettings{URL: "https://x/functions/v1/auto-backup", RPC: DefaultRPC},
			Alert:     AlertSettings{Enabled: true, Function: DefaultAlertFunction},
			Secrets:   []string{"KEY"},
		}
	}
	id := ID{ProjectRef: testRef, Name: DefaultName}
	code := source.Source{Files: map[string][]byte{"index.ts": []byte("code"), "deno.json": []byte("{}")}, ImportMap: "deno.json"}
	spec := Spec{ID: id, Settings: settings(), Source: code, Secrets: map[string]string{"KEY": "value"}, ExtendLogConstraint: true}
	dispatcher := payload.LoadDispatcher()
	found := settings()
	state := State{
		ID: id, Extensions: map[string]string{"pg_cron": "1.6", "pg_net": "0.20.4", "supabase_vault": "0.3.1"},
		DispatcherVersion: dispatcher.Version, Functions: maps.Clone(dispatcher.Functions), SchemaDrift: map[string]string{},
		Settings: &found, Marked: true, FunctionID: "f", Backups: []string{DefaultName},
		Jobs:         map[string]Job{},
		Token:        TokenState{Vault: "d", Function: "d"},
		VaultMarkers: map[string]string{id.Name.VaultToken(): id.Name.VaultMarker(), id.Name.VaultAlertKey(): id.Name.VaultMarker()},
		Secrets:      map[string]string{"KEY": DigestOf("value"), id.Name.TokenSecret(): "d", "OTHER": "x"},
		Function: &FunctionState{
			ID: "f", Name: id.Name.FunctionMarker(), Status: StatusActive, Files: code.Digests(),
			Entrypoint: source.Entrypoint, ImportMap: code.ImportMap,
		},
		LogConstraints: []LogConstraint{{Name: "c", Admits: true}},
	}
	for key, job := range spec.Jobs() {
		job.ID = int64(len(key))
		state.Jobs[key] = job
	}
	return spec, state
}

// equal reports a difference of a result from what is wanted. A nil and an empty
// list or map are the same.
func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if left, right := reflect.ValueOf(got), reflect.ValueOf(want); (left.Kind() == reflect.Slice || left.Kind() == reflect.Map) && left.Len()+right.Len() == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

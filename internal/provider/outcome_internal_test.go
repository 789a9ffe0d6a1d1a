package provider

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/fingerprint"
)

// TestSecretsAreRemembered proves which secrets a state names after an apply that replaced
// one secret by another and stopped somewhere: the new one from when it may be there, and
// the former one until it was removed, because nothing else may name it any more.
func TestSecretsAreRemembered(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: backup.DefaultName}
	spec := backup.Spec{ID: id, Settings: backup.Settings{Secrets: []string{"NEW"}}, Secrets: map[string]string{"NEW": "value"}}
	before := backup.State{
		ID: id, Known: backup.Known{Managed: true, Secrets: []string{"FORMER"}},
		Secrets: map[string]string{"FORMER": backup.DigestOf("x")},
	}
	state := &autoBackupModel{SecretFingerprints: types.MapValueMust(types.StringType, map[string]attr.Value{"FORMER": types.StringValue("former fingerprint")})}
	for _, c := range []struct {
		what  string
		steps int
		want  []string
	}{
		{"none was written", 0, []string{"FORMER", "NEW"}},
		{"none was removed", 1, []string{"FORMER", "NEW"}},
		{"all were written and removed", 2, []string{"NEW"}},
	} {
		var (
			m     autoBackupModel
			diags diag.Diagnostics
		)
		m.rememberSecrets(spec, state, before, func(part backup.Part, steps int) bool {
			return part == backup.PartSecrets && c.steps >= steps
		}, &fingerprint.Cache{}, &diags)
		got := stringsOf(m.SecretFingerprints)
		if names := sortedKeys(got); diags.HasError() || !slices.Equal(names, c.want) || got["NEW"] == "" || len(names) == 2 && got["FORMER"] != "former fingerprint" {
			t.Errorf("%s: %v, %v", c.what, got, diags)
		}
	}
}

// TestOutcomeSteps proves that the steps of a part are counted, and that the advice names
// each part once.
func TestOutcomeSteps(t *testing.T) {
	t.Parallel()
	o := outcome{done: []backup.Part{backup.PartDispatcher, backup.PartSecrets, backup.PartFunction, backup.PartSecrets}, kept: true}
	if one, two, none := o.steps(backup.PartFunction), o.steps(backup.PartSecrets), o.steps(backup.PartJobs); one != 1 || two != 2 || none != 0 {
		t.Errorf("%d, %d and %d steps", one, two, none)
	}
	if advice := o.advice(); strings.Count(advice, backup.PartSecrets.String()) != 1 {
		t.Errorf("the advice is %q", advice)
	}
}

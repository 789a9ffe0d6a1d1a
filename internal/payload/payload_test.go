package payload_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

// TestFunction proves that the built-in function is complete: it consists of
// exactly the files that its index.ts reaches, and of its configuration.
func TestFunction(t *testing.T) {
	t.Parallel()
	table := "backup_logs"
	config := payload.FunctionConfig{
		ManagedBy: payload.Owner, Backup: "auto-backup", Timezone: "America/Sao_Paulo", TokenSecret: "AUTO_BACKUP_TOKEN",
		RPC: "backup_all_data", RPCTimeoutMS: 100_000, VerifyTable: &table,
		Alert: &payload.AlertConfig{Function: "alert-processor", Source: "Backup"},
	}
	function := payload.Function(config)
	dir := t.TempDir()
	for name, content := range function.Files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reached, err := source.Directory(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	// The platform returns only what the entry point reaches: any other file
	// would be missing at the next look.
	deployed, read := slices.Sorted(maps.Keys(function.Files)), slices.Sorted(maps.Keys(reached.Files))
	if !slices.Equal(deployed, read) || function.ImportMap != "" {
		t.Errorf("deployed: %v %q\nreached:  %v", deployed, function.ImportMap, read)
	}
	if string(function.Files[payload.TokensFile]) != "{}\n" {
		t.Errorf("%s is %q", payload.TokensFile, function.Files[payload.TokensFile])
	}
	var written map[string]any
	if err := json.Unmarshal(function.Files["config.json"], &written); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"managed_by": payload.Owner, "backup": "auto-backup", "timezone": "America/Sao_Paulo", "token_secret": "AUTO_BACKUP_TOKEN",
		"rpc": "backup_all_data", "rpc_timeout_ms": 100_000.0, "verify_table": table,
	}
	if alert, _ := written["alert"].(map[string]any); alert["function"] != "alert-processor" || alert["source"] != "Backup" || len(alert) != 2 {
		t.Errorf("the alert is %v", written["alert"])
	}
	delete(written, "alert")
	if !maps.Equal(written, want) {
		t.Errorf("config.json is %v, want %v", written, want)
	}
}

// TestDispatcher proves that every SQL function is described by the digest of
// its body, that the scripts contain what they install, in the order in which
// it has to exist, and that the version follows the text.
func TestDispatcher(t *testing.T) {
	t.Parallel()
	d := payload.LoadDispatcher()
	for _, name := range []string{"dispatch", "watch", "configure", "token_digest"} {
		if len(d.Functions[name]) != 64 {
			t.Errorf("no digest of auto_backup.%s", name)
		}
	}
	for name := range d.Functions {
		if !strings.Contains(d.Install(), "function auto_backup."+name+"(") || !strings.Contains(d.Install(), "function auto_backup_wanted."+name+"(") {
			t.Errorf("the script does not install auto_backup.%s", name)
		}
		lease := name == "acquire" || name == "renew" || name == "catalog"
		if strings.Contains(d.Lease(), "function auto_backup."+name+"(") != lease {
			t.Errorf("the lease's script has auto_backup.%s: %v", name, !lease)
		}
	}
	for what, script := range map[string]string{"install": d.Install(), "lease": d.Lease()} {
		wanted, tables := strings.Index(script, "create table if not exists auto_backup_wanted."), strings.Index(script, "create table if not exists auto_backup.")
		locked, functions := strings.Index(script, d.Lock), strings.Index(script, "function auto_backup.")
		if locked < 0 || locked > wanted || wanted > tables || tables > functions {
			t.Errorf("%s: the lock is at %d, the wanted tables at %d, the tables at %d, the functions at %d", what, locked, wanted, tables, functions)
		}
	}
	if !strings.HasPrefix(d.Remove, d.Lock) || !strings.Contains(d.Remove, "drop schema") {
		t.Error("the script that removes does not begin with the lock")
	}
	version, digest, ok := strings.Cut(d.Version, "+")
	if version != payload.LoadContract().FunctionVersion || !ok || digest != source.Digest([]byte(d.Install() + d.Remove))[:8] {
		t.Errorf("the version is %q", d.Version)
	}
}

// TestContract proves that what Go reads of contract.json is there.
func TestContract(t *testing.T) {
	t.Parallel()
	c := payload.LoadContract()
	if c.FunctionVersion == "" || c.SignatureHeader == "" {
		t.Errorf("got %+v", c)
	}
}

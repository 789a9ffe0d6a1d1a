package provider_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// offsiteRecipient is a public key for copies, in PEM; there is one for each number.
// Nobody has its private key: a real pair takes long to make.
func offsiteRecipient(number int64) string {
	n := new(big.Int).Lsh(big.NewInt(1), 3071)
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(2*number+1)), E: 65537})
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestBadInput proves that bad input is refused before anything is reached
// over the network, at the attribute's own path, with what to write instead.
func TestBadInput(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	daily := func(schedule object) object { return object{"schedules": object{"daily": schedule}} }
	many := object{}
	for i := range 99 {
		many["K"+strings.Repeat("X", i)] = "v"
	}
	long := strings.Repeat("N", 257)
	recipient := offsiteRecipient(1)
	offsite := func(key string, arguments object) object {
		destination := object{"endpoint": "https://s3.acme.example", "region": "eu", "bucket": "acme", "recipients": []any{recipient}, "access_key_id": "id", "secret_access_key": "key"}
		maps.Copy(destination, arguments)
		return object{"offsite": object{key: destination}}
	}
	for what, c := range map[string]struct {
		config     object
		path, says string
	}{
		"unknown zone":             {object{"timezone": "America/Sao_Paolo"}, `timezone`, `America/Sao_Paulo`},
		"unknown zone of schedule": {daily(object{"cron": "0 3 * * *", "timezone": "BRT"}), `schedules["daily"].timezone`, "America/Sao_Paulo"},
		"six fields":               {daily(object{"cron": "0 0 3 * * *"}), `schedules["daily"].cron`, "five"},
		"impossible date":          {daily(object{"cron": "0 3 31 2 *"}), `schedules["daily"].cron`, "never fire"},
		"hour out of range":        {daily(object{"cron": "0 24 * * *"}), `schedules["daily"].cron`, "hour"},
		"project ref":              {object{"project_ref": "Short"}, `project_ref`, "20 lower-case letters"},
		"name":                     {object{"name": "Auto Backup"}, `name`, "words joined by single hyphens"},
		"name for a secret":        {object{"name": "supabase-backup"}, `name`, "SUPABASE_"},
		"long name":                {object{"name": strings.Repeat("a", 41)}, `name`, "limit is 40"},
		"drill's cron":             {object{"drill": object{"cron": "0 0 4 * * 0"}}, "drill.cron", "five"},
		"drill's time zone":        {object{"drill": object{"timezone": "BRT"}}, "drill.timezone", "America/Sao_Paulo"},
		"drill's time limit":       {object{"drill": object{"timeout": "2h"}}, "drill.timeout", "between one second and one hour"},
		"drill of no rows":         {object{"drill": object{"max_rows": 0}}, "drill.max_rows", "between 1 and 10000000"},
		"drill of a bare name":     {object{"drill": object{"tables": object{"articles": "public.backup_articles"}}}, `drill.tables["articles"]`, "write both"},
		"drill without tables":     {object{"drill": object{"tables": object{}}}, "drill.tables", "at least 1"},
		"offsite key":              {offsite("R2", nil), `offsite["R2"]`, "lower-case letters"},
		"offsite endpoint":         {offsite("r2", object{"endpoint": "s3://acme"}), `offsite["r2"].endpoint`, "https URL"},
		"plain http":               {offsite("r2", object{"endpoint": "http://s3.acme.example"}), `offsite["r2"].endpoint`, "not encrypted"},
		"credentials in a URL":     {offsite("r2", object{"endpoint": "https://a:b@s3.acme.example"}), `offsite["r2"].endpoint`, "access_key_id"},
		"own project's Storage":    {object{"project_ref": "abcdefghijklmnopqrst", "offsite": offsite("own", object{"endpoint": "https://abcdefghijklmnopqrst.storage.supabase.co/storage/v1/s3"})["offsite"]}, `offsite["own"].endpoint`, "does not survive"},
		"offsite region":           {offsite("r2", object{"region": "WEUR"}), `offsite["r2"].region`, "is not a region"},
		"region of R2":             {offsite("r2", object{"endpoint": "https://0123.r2.cloudflarestorage.com", "region": "weur"}), `offsite["r2"].region`, `write "auto"`},
		"lock of R2":               {offsite("r2", object{"endpoint": "https://0123.r2.cloudflarestorage.com", "region": "auto", "lock": object{"mode": "governance", "days": 30}}), `offsite["r2"].lock`, "cloudflare_r2_bucket_lock"},
		"lock of Storage":          {offsite("r2", object{"endpoint": "https://zyxwvutsrqponmlkjihg.supabase.co/storage/v1/s3", "lock": object{"mode": "governance", "days": 30}}), `offsite["r2"].lock`, "neither locks nor versions"},
		"offsite bucket":           {offsite("r2", object{"bucket": "Acme"}), `offsite["r2"].bucket`, "lower-case letters"},
		"offsite prefix":           {offsite("r2", object{"prefix": "/prod"}), `offsite["r2"].prefix`, `write "prod"`},
		"no recipient":             {offsite("r2", object{"recipients": []any{}}), `offsite["r2"].recipients`, "at least 1"},
		"recipient's file name":    {offsite("r2", object{"recipients": []any{"key.pem"}}), `offsite["r2"].recipients`, "`offsite[\"r2\"].recipients[0]`: "},
		"private key":              {offsite("r2", object{"recipients": []any{recipient, "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}}), `offsite["r2"].recipients`, "never be here"},
		"the same key twice":       {offsite("r2", object{"recipients": []any{recipient, recipient}}), `offsite["r2"].recipients`, "twice"},
		"lock's mode":              {offsite("r2", object{"lock": object{"mode": "legal", "days": 30}}), `offsite["r2"].lock.mode`, `"governance"`},
		"lock's days":              {offsite("r2", object{"lock": object{"mode": "governance", "days": 0}}), `offsite["r2"].lock.days`, "between 1 and 36500"},
		"offsite interval":         {offsite("r2", object{"every": "hourly"}), `offsite["r2"].every`, `"weekly"`},
		"offsite verification":     {offsite("r2", object{"verify": "no"}), `offsite["r2"].verify`, `"head"`},
		"offsite table":            {offsite("r2", object{"tables": []any{"articles"}}), `offsite["r2"].tables`, "with its schema"},
		"copy of the vault":        {offsite("r2", object{"tables": []any{"vault.secrets"}}), `offsite["r2"].tables`, "leave it out"},
		"copy of nothing":          {offsite("r2", object{"tables": []any{}}), `offsite["r2"].tables`, "at least 1"},
		"empty access key":         {offsite("r2", object{"access_key_id": ""}), `offsite["r2"].access_key_id`, "is empty"},
		"line break in a key":      {offsite("r2", object{"secret_access_key": "canary\n"}), `offsite["r2"].secret_access_key`, "trimspace"},
		"destination's secret":     {object{"offsite": offsite("r2", nil)["offsite"], "secrets": object{"AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID": "x"}}, `secrets["AUTO_BACKUP_OFFSITE_R2_ACCESS_KEY_ID"]`, "another key for the destination"},
		"copies by own function":   {object{"offsite": offsite("r2", nil)["offsite"], "function": object{"source_dir": "."}}, `offsite`, "provider's own Edge Function"},
		"reserved key":             {object{"schedules": object{"watchdog": object{"cron": "0 3 * * *"}}}, `schedules["watchdog"]`, "choose another key"},
		"key that is not a name":   {object{"schedules": object{"Every Day": object{"cron": "0 3 * * *"}}}, `schedules["Every Day"]`, "lower-case letters"},
		"no schedule":              {object{"schedules": object{}}, `schedules`, "Leave `schedules` out for the default"},
		"no time":                  {object{"timeouts": object{"read": "0s"}}, `timeouts.read`, "leaves no time"},
		"less than no time":        {object{"timeouts": object{"create": "-5m"}}, `timeouts.create`, "leaves no time"},
		"reserved secret":          {object{"secrets": object{"SUPABASE_URL": "x"}}, `secrets["SUPABASE_URL"]`, "reserves"},
		"own token":                {object{"secrets": object{"AUTO_BACKUP_TOKEN": "x"}}, `secrets["AUTO_BACKUP_TOKEN"]`, "own token"},
		"own token of a name":      {object{"name": "night", "secrets": object{"NIGHT_TOKEN": "x"}}, `secrets["NIGHT_TOKEN"]`, "own token"},
		"long secret name":         {object{"secrets": object{long: "x"}}, `secrets["` + long + `"]`, "limit is 256"},
		"long secret":              {object{"secrets": object{"KEY": strings.Repeat("v", 24_577)}}, `secrets["KEY"]`, "limit is 24576"},
		"null secret":              {object{"secrets": object{"KEY": nil}}, `secrets["KEY"]`, "Leave the name out"},
		"too many secrets":         {object{"secrets": many}, `secrets`, "99 secrets are too many"},
		"no index.ts":              {object{"function": object{"source_dir": t.TempDir()}}, `function.source_dir`, "index.ts"},
		"rpc":                      {object{"function": object{"rpc": "public.backup"}}, `function.rpc`, "without a schema"},
		"verify table":             {object{"function": object{"verify_table": "x;y"}}, `function.verify_table`, "without a schema"},
		"delay":                    {object{"retry": object{"delay": "1 day"}}, `retry.delay`, "10m"},
		"attempts":                 {object{"retry": object{"attempts": 11}}, `retry.attempts`, "between 0 and 10"},
		"verify":                   {object{"verify": "always"}, `verify`, `"probe"`},
		"log constraint":           {object{"log_constraint": "drop"}, `log_constraint`, `"extend"`},
		"alert function":           {object{"alert": object{"function": "../x"}}, `alert.function`, "slug"},
		"alert source":             {object{"alert": object{"source": "<b>"}}, `alert.source`, "HTML"},
		"overdue":                  {object{"alert": object{"overdue_after": "5s"}}, `alert.overdue_after`, "one minute"},
		"never overdue":            {object{"alert": object{"overdue_after": "0s"}}, `alert.overdue_after`, "never reported as overdue"},
		"overdue too early":        {object{"alert": object{"overdue_after": "1h"}}, `alert.overdue_after`, "Write at least 24h"},
		"second of two crons":      {object{"schedules": object{"daily": object{"cron": "0 3 * * *"}, "noon": object{"cron": "0 25 * * *"}}}, `schedules["noon"].cron`, "`schedules[\"noon\"].cron`: "},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			diags := validate(t, c.config)
			if len(diags) != 1 {
				t.Fatalf("got %d diagnostics: %s", len(diags), texts(diags))
			}
			if got := pathOf(diags[0].Attribute); got != c.path {
				t.Errorf("the complaint is at %s, not at %s", got, c.path)
			}
			if !strings.Contains(diags[0].Detail, c.says) {
				t.Errorf("the complaint does not say %q: %s", c.says, diags[0].Detail)
			}
		})
	}
	if diags := validateAlone(t, object{"function": object{"source_dir": t.TempDir()}}); len(diags) > 0 {
		t.Errorf("a directory without a source is refused by what a destroy asks too: %v", diags)
	}
	if said := texts(validateAlone(t, daily(nil))); !strings.Contains(said, "`schedules[\"daily\"]`: The schedule is null. Leave its key out") {
		t.Errorf("a null schedule is refused with %s", said)
	}
	if said := texts(validateAlone(t, object{"offsite": object{"r2": nil}})); !strings.Contains(said, "`offsite[\"r2\"]`: The destination is null. Leave its key out") {
		t.Errorf("a null destination is refused with %s", said)
	}
	if diags := validate(t, offsite("r2", nil)); len(diags) > 0 {
		t.Errorf("a destination is refused: %s", texts(diags))
	}
	if diags := validate(t, object{}); len(diags) > 0 {
		t.Errorf("an empty configuration is refused: %v", diags)
	}
}

// validate has the provider check a configuration as Terraform does: alone, and
// if nothing is wrong with it, as a plan of a new backup, before the provider is
// configured.
func validate(t *testing.T, config map[string]any) []*tfprotov6.Diagnostic {
	t.Helper()
	if diags := validateAlone(t, config); len(diags) > 0 {
		return diags
	}
	server := newServer(t)
	kind, _ := kinds(t, server)
	null, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, nil))
	if err != nil {
		t.Fatal(err)
	}
	packed := dynamic(t, kind, config)
	answer, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: "aimindset_auto_backup", PriorState: &null, ProposedNewState: packed, Config: packed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Diagnostics
}

// validateAlone has the provider check a configuration without a plan.
func validateAlone(t *testing.T, config map[string]any) []*tfprotov6.Diagnostic {
	t.Helper()
	server := newServer(t)
	kind, _ := kinds(t, server)
	answer, err := server.ValidateResourceConfig(t.Context(), &tfprotov6.ValidateResourceConfigRequest{
		TypeName: "aimindset_auto_backup", Config: dynamic(t, kind, config),
		ClientCapabilities: &tfprotov6.ValidateResourceConfigClientCapabilities{WriteOnlyAttributesAllowed: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Diagnostics
}

// dynamic packs a value as Terraform does.
func dynamic(t *testing.T, kind tftypes.Type, value map[string]any) *tfprotov6.DynamicValue {
	t.Helper()
	text, err := json.Marshal(withNulls(kind, value))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := tfprotov6.DynamicValue{JSON: text}.Unmarshal(kind)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := tfprotov6.NewDynamicValue(kind, unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return &packed
}

// withNulls adds to a configuration the attributes that it leaves out.
func withNulls(kind tftypes.Type, value any) any {
	values, ok := value.(map[string]any)
	if !ok {
		return value
	}
	if values == nil {
		return nil
	}
	filled := maps.Clone(values)
	switch kind := kind.(type) {
	case tftypes.Object:
		for name, inner := range kind.AttributeTypes {
			filled[name] = withNulls(inner, values[name])
		}
	case tftypes.Map:
		for name, inner := range values {
			filled[name] = withNulls(kind.ElementType, inner)
		}
	}
	return filled
}

// pathOf writes a path as a configuration would.
func pathOf(path *tftypes.AttributePath) string {
	var text strings.Builder
	for _, step := range path.Steps() {
		switch step := step.(type) {
		case tftypes.AttributeName:
			if text.Len() > 0 {
				text.WriteString(".")
			}
			text.WriteString(string(step))
		case tftypes.ElementKeyString:
			fmt.Fprintf(&text, "[%q]", string(step))
		}
	}
	return text.String()
}

// texts returns the texts of diagnostics.
func texts(diags []*tfprotov6.Diagnostic) string {
	var all []string
	for _, d := range diags {
		all = append(all, d.Summary+": "+d.Detail)
	}
	return strings.Join(all, "\n")
}

package backup

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Part is a part of an installation. Parts are applied in the order of these
// constants and removed in the reverse order.
type Part int

// The parts of an installation.
const (
	PartExtensions Part = iota
	PartDispatcher
	PartToken
	PartSecrets
	PartChannels
	PartFunction
	PartLogConstraint
	PartJobs
)

func (p Part) String() string {
	return [...]string{"extensions", "dispatcher", "token", "secrets", "heartbeat and webhooks", "function", "log constraint", "jobs"}[p]
}

// Difference is one thing that was found to differ from what is wanted, in
// words: Object and Text together make a sentence.
type Difference struct {
	Part Part
	// Object names what differs: "job auto-backup-daily", "function file run.ts".
	Object string
	// Text says what was found and what is wanted: "is missing", "has the
	// schedule 0 4 * * * instead of 0 6 * * *". It holds no secret and no hash.
	Text string
}

// RequiredExtensions are the PostgreSQL extensions that a backup needs.
var RequiredExtensions = []string{"pg_cron", "pg_net", "supabase_vault"}

// Diff lists what has to change so that found becomes what spec wants, in the
// order in which it is applied. It is a pure function; an intact installation
// has no difference.
//
// Of extra secrets and of those of the heartbeat and the webhooks it sees only missing
// and surplus names, unless the spec has their values or SameSecret.
func Diff(spec Spec, found State) []Difference {
	d := differ{spec: spec, found: found}
	d.extensions()
	d.dispatcher()
	d.token()
	d.vault()
	d.secrets()
	d.channels()
	d.function()
	if !found.AdmitsLog() {
		d.add(PartLogConstraint, "table public.backup_logs", "refuses rows of action_type 'auto_backup', by its CHECK "+strings.Join(found.RefusingConstraints(), " and "))
	}
	d.jobs()
	d.settings()
	return d.list
}

// Drift is the list of differences as a map: what differs, and its sentence.
func Drift(differences []Difference) map[string]string {
	drift := map[string]string{}
	for _, d := range differences {
		if text, more := drift[d.Object]; more {
			drift[d.Object] = text + "; " + d.Text
		} else {
			drift[d.Object] = d.Text
		}
	}
	return drift
}

// differ collects the differences between a spec and what was found.
type differ struct {
	spec  Spec
	found State
	list  []Difference
}

func (d *differ) add(part Part, object, text string, args ...any) {
	if len(args) > 0 {
		text = fmt.Sprintf(text, args...)
	}
	d.list = append(d.list, Difference{Part: part, Object: object, Text: text})
}

func (d *differ) extensions() {
	for _, name := range RequiredExtensions {
		if _, ok := d.found.Extensions[name]; !ok {
			d.add(PartExtensions, "extension "+name, "is not installed")
		}
	}
}

func (d *differ) dispatcher() {
	const object = "dispatcher"
	wanted := cmp.Or(d.spec.DispatcherVersion, payload.LoadDispatcher().Version)
	switch version, problem := d.found.Dispatcher(); {
	case problem != "":
		d.add(PartDispatcher, object, "%s", problem)
	case version != wanted:
		d.add(PartDispatcher, object, "has version %s instead of %s", version, wanted)
	}
	schema := d.found.DispatcherDrift()
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		d.add(PartDispatcher, d.schemaObject(name), "%s", schema[name])
	}
	row := d.row()
	switch {
	case d.found.Settings == nil:
		d.add(PartDispatcher, row, "is missing")
	case !d.found.Marked:
		d.add(PartDispatcher, row, lacksMarker)
	}
}

// lacksMarker is what the text of an object without the marker says.
const lacksMarker = "lacks this provider's ownership marker"

// row names the backup's settings row.
func (d *differ) row() string { return "row " + string(d.spec.ID.Name) + " of auto_backup.settings" }

// schemaObject names an object of schema auto_backup as a person would, for
// example "table auto_backup.runs" for "table runs".
func (d *differ) schemaObject(name string) string {
	kind, rest, found := strings.Cut(name, " ")
	switch {
	case !found:
		return kind + " auto_backup"
	case kind == "role":
		return name
	case kind == "rows":
		return "rows of auto_backup." + strings.TrimPrefix(rest, "of table ")
	}
	return kind + " auto_backup." + rest
}

func (d *differ) token() {
	object := "invocation token"
	switch _, problem := d.found.Token.Digest(); {
	case problem != "":
		d.add(PartToken, object, "%s", problem)
	case d.spec.RotateToken:
		d.add(PartToken, object, "is to be replaced")
	}
}

// vault compares the ownership markers of the vault's secrets, and the alert key.
func (d *differ) vault() {
	name := d.spec.ID.Name
	if d.spec.Settings.NeedsKey() {
		key := "vault secret " + name.VaultAlertKey()
		if _, ok := d.found.VaultMarkers[name.VaultAlertKey()]; !ok {
			d.add(PartToken, key, "is missing")
		} else if problem := d.found.AlertKeyProblem(); problem != "" {
			d.add(PartToken, key, "%s", problem)
		}
	}
	for _, secret := range d.found.UnmarkedVault() {
		d.add(PartToken, "vault secret "+secret, lacksMarker)
	}
	d.surplus(PartToken, d.found.SurplusVault())
}

// surplus adds vault secrets that carry the backup's marker under names that it does not
// use.
func (d *differ) surplus(part Part, secrets []string) {
	for _, secret := range secrets {
		d.add(part, "vault secret "+secret, "carries this backup's ownership marker and is not one of its secrets")
	}
}

// channels compares the vault's secrets of the heartbeat and of the webhooks.
func (d *differ) channels() {
	for _, secret := range d.spec.Settings.ChannelSecrets(d.spec.ID.Name) {
		if problem := d.found.channelProblem(secret, d.spec); problem != "" {
			d.add(PartChannels, "vault secret "+secret, "%s", problem)
		}
	}
	d.surplus(PartChannels, d.found.ChannelsToRemove(d.spec))
}

func (d *differ) secrets() {
	for _, secret := range d.found.SecretsOf(d.spec) {
		object := "secret " + secret.Name
		switch {
		case secret.Wanted && !secret.Present:
			d.add(PartSecrets, object, "is missing")
		case secret.Wanted && d.changed(secret):
			d.add(PartSecrets, object, "has another value than the configured one")
		case secret.surplus():
			d.add(PartSecrets, object, "is there and no longer configured")
		}
	}
}

// changed reports whether a secret is known to have another value than the spec
// wants.
func (d *differ) changed(secret Secret) bool {
	value, known := d.spec.Secrets[secret.Name]
	return d.spec.differs(secret.Name, secret.Digest, value, known)
}

func (d *differ) function() {
	object := "Edge Function " + d.spec.ID.Name.Slug()
	f := d.found.Function
	if f == nil {
		d.add(PartFunction, object, "is not deployed")
		return
	}
	if f.Status != StatusActive {
		d.add(PartFunction, object, "has the status %s instead of %s", f.Status, StatusActive)
	}
	if f.VerifyJWT {
		d.add(PartFunction, object, "demands a JWT (verify_jwt is on), which the database does not send")
	}
	if f.Entrypoint != source.Entrypoint {
		d.add(PartFunction, object, "has the entry point %s instead of %s", shown(f.Entrypoint), source.Entrypoint)
	}
	if wanted := d.spec.Source.ImportMap; f.ImportMap != wanted {
		d.add(PartFunction, object, "has the import map %s instead of %s", cmp.Or(shown(f.ImportMap), "none"), cmp.Or(shown(wanted), "none"))
	}
	d.files(f.Files)
	if d.found.Settings != nil && d.found.FunctionID != f.ID {
		d.add(PartJobs, object, "was deleted and recreated outside Terraform")
	}
}

// files compares the deployed source, file by file. Where hardly anything of
// the wanted source is left, one sentence says so.
func (d *differ) files(found map[string]string) {
	wanted := d.spec.Digests()
	var gone, added, changed []string
	for _, file := range slices.Sorted(maps.Keys(wanted)) {
		switch digest, ok := found[file]; {
		case !ok:
			gone = append(gone, file)
		case digest != wanted[file]:
			changed = append(changed, file)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(found)) {
		if _, ok := wanted[file]; !ok {
			added = append(added, file)
		}
	}
	if len(wanted) > 1 && len(gone)+len(changed) == len(wanted) {
		text := "the whole function was replaced"
		if len(gone) > 0 {
			text += fmt.Sprintf("; %d of %d files are gone", len(gone), len(wanted))
		}
		d.add(PartFunction, "function source", "%s", text)
		return
	}
	for _, file := range changed {
		d.add(PartFunction, "function file "+shown(file), "was changed%s", d.found.Function.firstChange(file))
	}
	for _, file := range gone {
		d.add(PartFunction, "function file "+shown(file), "is missing")
	}
	for _, file := range added {
		d.add(PartFunction, "function file "+shown(file), "was added")
	}
}

// firstChange is the first line in which a file differs, after a colon, where
// it is known.
func (f FunctionState) firstChange(file string) string {
	if change := f.Changes[file]; change != "" {
		return ": " + change
	}
	return ""
}

func (d *differ) jobs() {
	wanted := d.spec.Jobs()
	keys := map[string]bool{}
	for key := range wanted {
		keys[key] = true
	}
	for key := range d.found.Jobs {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		want, isWanted := wanted[key]
		job, exists := d.found.Jobs[key]
		switch {
		case !exists:
			d.add(PartJobs, "job "+want.Name, "is missing")
		case !isWanted && strings.Contains(key, duplicateMark):
			d.add(PartJobs, "job "+shown(job.Name)+" of role "+shown(job.Username), "has the name of a job of this backup")
		case !isWanted:
			d.add(PartJobs, "job "+shown(job.Name), "is there, and no schedule wants it")
		case !job.same(want):
			d.add(PartJobs, "job "+want.Name, "%s", strings.Join(job.changes(want), " and "))
		}
	}
	if d.found.Unfinished {
		d.add(PartJobs, "installation", "was begun and not finished")
	}
}

// changes says in what a job differs from the wanted one.
func (j Job) changes(want Job) []string {
	var texts []string
	for _, property := range []struct{ name, found, wanted string }{
		{"the schedule", j.Schedule, want.Schedule}, {"the command", j.Command, want.Command},
		{"the database", j.Database, want.Database}, {"the role", j.Username, want.Username},
	} {
		if property.found != property.wanted {
			texts = append(texts, fmt.Sprintf("has %s %s instead of %s", property.name, shown(property.found), property.wanted))
		}
	}
	switch {
	case want.Active && !j.Active:
		texts = append(texts, "is switched off")
	case !want.Active && j.Active:
		texts = append(texts, "is switched on, while its schedule is not enabled")
	}
	return texts
}

// settings compares the settings that the dispatcher reads, value by value.
func (d *differ) settings() {
	if d.found.Settings == nil || equalJSON(*d.found.Settings, d.spec.Settings) {
		return
	}
	before := len(d.list)
	d.values("", d.found.Settings.document(), d.spec.Settings.document())
	if len(d.list) == before {
		d.add(PartJobs, d.row(), "differs from what was applied")
	}
}

// values compares two JSON values under a path of the settings.
func (d *differ) values(path string, found, wanted any) {
	was, isObject := found.(map[string]any)
	want, both := wanted.(map[string]any)
	object := "setting " + path
	switch {
	case isObject && both:
		keys := maps.Clone(was)
		maps.Copy(keys, want)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			at := strings.TrimPrefix(path+"."+shown(key), ".")
			was, exists := was[key]
			want, isWanted := want[key]
			if path == "offsite" && key == "destinations" {
				at = path // as in the configuration
			}
			switch {
			case path == "" && (key == "instance" || key == "secrets" || key == "adopted_secrets"):
				d.ownership(key, was, want)
			case !exists && want != nil:
				d.add(PartJobs, "setting "+at, "is missing")
			case !isWanted && was != nil:
				d.add(PartJobs, "setting "+at, "is there and not configured")
			default:
				d.values(at, was, want)
			}
		}
	case equalJSON(found, wanted):
	case strings.HasPrefix(path, "offsite.") && strings.HasSuffix(path, ".recipients"):
		d.add(PartJobs, object, "are other keys than the configured ones: whoever has their private keys can open the copies, and the owners of the configured ones may not")
	default:
		d.add(PartJobs, object, "is %s instead of %s", d.value(found), d.value(wanted))
	}
}

// ownership compares what the settings say of whose the backup and its secrets are.
func (d *differ) ownership(key string, found, wanted any) {
	if equalJSON(found, wanted) {
		return
	}
	row, lost := d.row(), d.found.unrecordedSecrets()
	switch {
	case key == "instance":
		d.add(PartJobs, row, "belongs to another installation than the one that was applied")
	case key == "secrets" && len(lost) > 0:
		d.add(PartJobs, row, "no longer names the secrets %s", strings.Join(lost, ", "))
	default:
		d.add(PartJobs, "setting "+key, "is %s instead of %s", d.value(found), d.value(wanted))
	}
}

// equalJSON reports whether two values have the same JSON form.
func equalJSON(a, b any) bool {
	left, errLeft := json.Marshal(a)
	right, errRight := json.Marshal(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// document is the JSON document of the settings, as it is read.
func (s Settings) document() (document any) {
	text, _ := json.Marshal(s) // it cannot fail: settings are texts, numbers and lists
	_ = json.Unmarshal(text, &document)
	return document
}

// value makes a JSON value fit to be read.
func (d *differ) value(value any) string {
	if s, ok := value.(string); ok && s != "" {
		return shown(s)
	}
	if value == nil {
		return "unset"
	}
	document, _ := json.Marshal(value) // it was read from JSON
	return shown(string(document))
}

// shown makes a value from the project fit to be read: one printable line, cut
// where it is long.
func shown(value string) string { return text.Head(text.Line(value), 80) }

// Package install observes, installs, verifies and removes the backups of one
// project (Service). A lease keeps two applies from changing one backup at once.
package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// uploadRoot is where a function's directory lies in an upload. It leaves room
// above it for modules that several functions share, as Supabase's CLI does.
const uploadRoot = "supabase/functions"

// PartError says which part of an installation could not be applied or removed.
type PartError struct {
	ID   backup.ID
	Part backup.Part
	// Verb is "install" or "remove".
	Verb string
	Err  error
}

func (e *PartError) Error() string {
	return fmt.Sprintf("%s the %s of backup %s: %v", e.Verb, e.Part, e.ID, e.Err)
}

func (e *PartError) Unwrap() error { return e.Err }

// Apply changes a project so that the backup found in it becomes what spec
// wants. It works part by part: each part needs the ones before it, and the jobs
// come last, so that no tick meets an incomplete installation. It calls done with
// each part that it changed.
//
// Applying the same spec again after an interruption continues where that
// stopped. An installation without differences is not written to. The errors are
// a *backup.ForeignError, a *RightsError, a *BusyError, a *PartError, and
// ErrInstalledMeanwhile or ErrLeaseLost, which may be wrapped.
//
// If it succeeds, the settings in the result are those that the project has
// afterwards.
func (s *Service) Apply(ctx context.Context, spec backup.Spec, found backup.State, done func(backup.Part)) (Applied, error) {
	var result Applied
	if err := found.Foreign(spec); err != nil {
		return result, err
	}
	result.Settings = spec.Completed(found).Settings
	if found.Function != nil {
		result.Revision = found.Function.Revision
	}
	if len(backup.Diff(spec.Completed(found), found)) == 0 {
		return result, nil
	}
	if err := s.checkRights(ctx, spec.ID, rightsToApply(spec.Completed(found), found)); err != nil {
		return result, err
	}
	err := s.exclusively(ctx, found, func(ctx context.Context, l *lease, now backup.State) error {
		if taken(found, now, spec.Adopt) {
			return fmt.Errorf("backup %s: %w", spec.ID, ErrInstalledMeanwhile)
		}
		if err := now.Foreign(spec); err != nil {
			return err
		}
		completed := spec.Completed(now)
		result.Settings, result.Kept = completed.Settings, now.KeptSecrets(completed)
		return l.apply(ctx, completed, now, &result, done)
	})
	return result, err
}

// Applied is what an apply knows of the project without reading it again.
type Applied struct {
	// Settings are the settings that were applied.
	Settings backup.Settings
	// Revision is the deployment of the Edge Function.
	Revision string
	// Kept says, for a person, which secrets were kept because the project did not say
	// that they are the backup's; empty if none was.
	Kept string
}

// ErrInstalledMeanwhile says that another apply has installed the backup after
// the project was read and before the first change.
var ErrInstalledMeanwhile = errors.New("another apply has installed it in the meantime")

// apply is Apply under a lease.
func (l *lease) apply(ctx context.Context, spec backup.Spec, found backup.State, result *Applied, done func(backup.Part)) error {
	changed := map[backup.Part]bool{}
	for _, difference := range backup.Diff(spec, found) {
		changed[difference.Part] = true
	}
	if len(changed) == 0 {
		return nil
	}
	// The settings row marks everything that follows as this provider's.
	if !found.Marked || len(found.SecretsToRecord(spec)) > 0 || found.Settings.Instance != spec.Settings.Instance {
		changed[backup.PartDispatcher] = true
	}
	// The jobs' step writes the rest of the row that the dispatcher's step makes.
	if found.Settings == nil {
		changed[backup.PartJobs] = true
	}
	functionID := ""
	if found.Function != nil {
		functionID, result.Revision = found.Function.ID, found.Function.Revision
	}
	steps := []struct {
		part backup.Part
		run  func() error
	}{
		{backup.PartExtensions, func() error { return l.once(ctx, "extensions", queries.Extensions) }},
		{backup.PartDispatcher, func() error { return l.applyDispatcher(ctx, spec, found) }},
		{backup.PartToken, func() error { return l.applyToken(ctx, spec, found) }},
		{backup.PartSecrets, func() error {
			if l.setsTogether() {
				return nil
			}
			return l.setSecrets(ctx, found.SecretsToSet(spec))
		}},
		// The settings, which the jobs' step writes, name only channels that have their secrets.
		{backup.PartChannels, func() error { return l.applyChannels(ctx, spec, found) }},
		{backup.PartFunction, func() error {
			deployed, err := l.applyFunction(ctx, spec, found)
			if err != nil {
				return err
			}
			result.Revision = revision(deployed)
			if deployed.ID != functionID {
				functionID = deployed.ID
				changed[backup.PartJobs] = true
			}
			return nil
		}},
		// Until it was replaced, the former function may have needed them.
		{backup.PartSecrets, func() error { return l.deleteSecrets(ctx, found.SecretsToDelete(spec)...) }},
		{backup.PartLogConstraint, func() error { return l.applyLogConstraint(ctx, spec, found) }},
		{backup.PartJobs, func() error {
			if err := l.service.settle(ctx); err != nil {
				return err
			}
			return l.applyJobs(ctx, spec, found, functionID)
		}},
		{backup.PartChannels, func() error { return l.removeVaultSecrets(ctx, found.ChannelsToRemove(spec)) }},
	}
	for _, step := range steps {
		if !changed[step.part] {
			continue
		}
		if err := step.run(); err != nil {
			return &PartError{ID: spec.ID, Part: step.part, Verb: "install", Err: err}
		}
		done(step.part)
	}
	if err := l.service.settle(ctx); err != nil {
		return &PartError{ID: spec.ID, Part: backup.PartFunction, Verb: "install", Err: err}
	}
	return nil
}

func (l *lease) applyDispatcher(ctx context.Context, spec backup.Spec, found backup.State) error {
	dispatcher := payload.LoadDispatcher()
	if found.DispatcherVersion != dispatcher.Version || len(found.DispatcherDrift()) > 0 {
		if err := l.once(ctx, "dispatcher", dispatcher.Install()); err != nil {
			return err
		}
		l.service.shared.setWhole(time.Now())
	}
	settings, err := json.Marshal(spec.Settings)
	if err != nil {
		return err
	}
	if l.absent(found) {
		// Where there is no key, the token's step says so.
		if secrets, err := l.newSecrets(ctx, spec, found); err == nil {
			return l.begin(ctx, spec, string(settings), secrets)
		}
	}
	_, err = l.write(ctx, queries.Mark, backup.Owner, dispatcher.Version, string(spec.ID.Name), string(settings), l.holder)
	return err
}

// absent reports whether nothing of a backup exists, so that its vault secrets need not
// be written in an order.
func (l *lease) absent(found backup.State) bool {
	return found.Settings == nil && found.Function == nil && len(found.Jobs) == 0 && len(found.VaultMarkers) == 0 &&
		found.Token.Function == "" && found.Token.Next == ""
}

// newSecrets are the vault secrets of a backup of which nothing exists, those of the
// heartbeat and the webhooks included.
func (l *lease) newSecrets(ctx context.Context, spec backup.Spec, found backup.State) (map[string]string, error) {
	secrets := found.ChannelsToSet(spec)
	secrets[spec.ID.Name.VaultToken()] = backup.NewToken()
	if found.NeedsAlertKey(spec) {
		key, err := l.alertKey(ctx)
		if err != nil {
			return nil, err
		}
		secrets[spec.ID.Name.VaultAlertKey()] = key
	}
	return secrets, nil
}

// begin marks a backup of which nothing exists, and writes its vault secrets.
func (l *lease) begin(ctx context.Context, spec backup.Spec, settings string, secrets map[string]string) error {
	values, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	name := spec.ID.Name
	_, err = l.write(ctx, queries.Begin, backup.Owner, payload.LoadDispatcher().Version, string(name), settings, l.holder,
		postgres.Secret(values), name.VaultMarker())
	if err == nil {
		l.token = secrets[name.VaultToken()]
	}
	return err
}

// applyToken brings one token into the vault and into the function. The
// function accepts two, TokenSecret and NextTokenSecret, so the one in the
// vault is accepted at every moment of a rotation:
//
//	the other slot := new token; vault := new token; TokenSecret := new token; NextTokenSecret is removed
//
// A request that the former token signed may wait in pg_net's queue when vault
// changes, so the former token is taken away only when it was answered. Runs in
// progress sign their outcomes with it, so vault keeps it under another name; the
// watchdog removes it after some days.
//
// Of a backup of which nothing existed, the vault has the token already: nothing sends
// requests until there are jobs. One request then sets the token and all other secrets of
// the function. It sets those of no other backup: each is written under its own lease, and
// a value that is refused, or an outcome that is not known, concerns one backup.
func (l *lease) applyToken(ctx context.Context, spec backup.Spec, found backup.State) error {
	name := spec.ID.Name
	switch {
	case l.setsTogether():
		values := found.SecretsToSet(spec)
		values[name.TokenSecret()] = l.token
		return l.setSecrets(ctx, values)
	case l.token != "":
		return l.setToken(ctx, name, name.TokenSecret(), l.token)
	}
	if err := l.applyAlertKey(ctx, spec, found); err != nil {
		return err
	}
	if err := l.applyMarkers(ctx, spec, found); err != nil {
		return err
	}
	switch {
	case found.Token.Intact() && !spec.RotateToken:
		return nil
	case found.Token.Vault != "" && found.Token.Vault == found.Token.Function && !spec.RotateToken:
		// Only the last step of a rotation is missing.
		return l.deleteToken(ctx, name, name.NextTokenSecret())
	}
	token := backup.NewToken()
	// The slot whose token the vault holds is in use until the vault changes.
	slot := name.NextTokenSecret()
	if found.Token.Vault == "" || found.Token.Vault != found.Token.Function {
		slot = name.TokenSecret()
	}
	if err := l.setToken(ctx, name, slot, token); err != nil {
		return err
	}
	if found.Function != nil && found.Token.Vault != "" {
		// The database may use the new token once the function knows it.
		if err := l.service.settle(ctx); err != nil {
			return err
		}
	}
	// A token that the function does not know has signed no outcome: it came with a
	// copy of another project's database.
	if t := found.Token; t.Vault != "" && (t.Vault == t.Function || t.Vault == t.Next) {
		if _, err := l.write(ctx, queries.KeepFormerToken, string(name), name.VaultToken(), name.VaultFormerToken(), name.VaultMarker(), l.holder); err != nil {
			return err
		}
	}
	if err := l.putVaultSecret(ctx, found, name.VaultToken(), token, found.Token.Vault != ""); err != nil {
		return err
	}
	if found.Token.Vault != "" {
		// The former token is in the other slot until then.
		if err := l.drain(ctx); err != nil {
			return err
		}
	}
	if slot != name.TokenSecret() {
		if err := l.setToken(ctx, name, name.TokenSecret(), token); err != nil {
			return err
		}
	}
	if slot != name.TokenSecret() || found.Token.Next != "" {
		return l.deleteToken(ctx, name, name.NextTokenSecret())
	}
	return nil
}

// putVaultSecret writes a secret of the backup into the vault. An existing one is
// replaced by a new one unless it is known that the vault can decrypt it.
func (l *lease) putVaultSecret(ctx context.Context, found backup.State, name, value string, decrypts bool) error {
	statement := queries.PutVaultSecret
	if _, exists := found.VaultMarkers[name]; exists && !decrypts {
		statement = queries.ReplaceVaultSecret
	}
	_, err := l.write(ctx, statement, name, postgres.Secret(value), l.name.VaultMarker(), string(l.name), l.holder)
	return err
}

// applyMarkers puts the ownership marker back on the backup's vault secrets, and removes
// what carries it under another name.
func (l *lease) applyMarkers(ctx context.Context, spec backup.Spec, found backup.State) error {
	marker := l.name.VaultMarker()
	for _, name := range found.UnmarkedVault() {
		if name == l.name.VaultToken() && found.Token.Vault == "" || name == l.name.VaultAlertKey() && found.NeedsAlertKey(spec) {
			continue // it is written again, with its marker
		}
		if _, err := l.write(ctx, queries.PutVaultSecret, name, nil, marker, string(l.name), l.holder); err != nil {
			return err
		}
	}
	return l.removeVaultSecrets(ctx, found.SurplusVault())
}

// applyChannels writes the secrets of the heartbeat and of the webhooks into the vault. Of a
// backup of which nothing existed, they are there already.
func (l *lease) applyChannels(ctx context.Context, spec backup.Spec, found backup.State) error {
	if l.token != "" {
		return nil
	}
	values := found.ChannelsToSet(spec)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := l.putVaultSecret(ctx, found, name, values[name], found.ChannelDigests[name] != ""); err != nil {
			return fmt.Errorf("write the vault secret %s: %w", name, err)
		}
	}
	return nil
}

// removeVaultSecrets removes those vault secrets that carry the backup's ownership marker.
func (l *lease) removeVaultSecrets(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	list, err := json.Marshal(names)
	if err != nil {
		return err
	}
	_, err = l.write(ctx, queries.RemoveVaultSecrets, string(list), l.name.VaultMarker(), string(l.name), l.holder)
	return err
}

// drainPatience is how long a rotation waits for requests with the former
// token. pg_net gives each 10 s; a queue that does not move is not waited for.
const drainPatience = 30 * time.Second

// drain waits until the requests that carry the former token are answered.
func (l *lease) drain(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	err := l.service.poll(waiting, func() (bool, error) {
		answer, err := l.service.DB.Query(waiting, postgres.ReadWrite, queries.Drained, string(l.name))
		return err == nil && string(answer) == "true", err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil
	}
	return err
}

// applyAlertKey gives the watchdog the keys with which it may call the alert function
// by itself: on one line the one that it sends first, on the next the legacy key that a
// gateway may require beside it.
func (l *lease) applyAlertKey(ctx context.Context, spec backup.Spec, found backup.State) error {
	name := spec.ID.Name
	if !found.NeedsAlertKey(spec) {
		return nil
	}
	secret, err := l.alertKey(ctx)
	if err != nil {
		return err
	}
	return l.putVaultSecret(ctx, found, name.VaultAlertKey(), secret, found.AlertKey.Vault != "")
}

// alertKey returns the project's keys as applyAlertKey describes them.
func (l *lease) alertKey(ctx context.Context) (string, error) {
	keys, err := l.service.API.APIKeys(ctx, l.service.Ref)
	if err != nil {
		return "", err
	}
	public := supabase.PublicKeysOf(keys)
	if len(public.First) == 0 {
		return "", errors.New("the project has neither a publishable key nor a legacy anon key, so the watchdog could not call the alert function; create a publishable key under Settings > API Keys in the dashboard, or set alert = { enabled = false }")
	}
	secret := public.First[0]
	if public.Legacy != "" && public.Legacy != secret {
		secret += "\n" + public.Legacy
	}
	return secret, nil
}

func (l *lease) deleteSecrets(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	return l.request(ctx, func(ctx context.Context) error {
		if err := l.service.API.DeleteSecrets(ctx, l.service.Ref, names); err != nil && !errors.Is(err, supabase.ErrNotFound) {
			return err
		}
		return nil
	})
}

func (l *lease) setSecrets(ctx context.Context, values map[string]string) error {
	if len(values) == 0 {
		return nil
	}
	return l.request(ctx, func(ctx context.Context) error { return l.service.API.SetSecrets(ctx, l.service.Ref, values) })
}

func (l *lease) applyFunction(ctx context.Context, spec backup.Spec, found backup.State) (deployed supabase.Function, err error) {
	name, api, ref := spec.ID.Name, l.service.API, l.service.Ref
	if f := found.Function; f != nil && f.Status == backup.StatusActive && f.Entrypoint == source.Entrypoint &&
		f.ImportMap == spec.Source.ImportMap && maps.Equal(f.Files, spec.Source.Digests()) {
		// The code is right, so only the way it is served can differ.
		marker, verify := name.FunctionMarker(), false
		err = l.request(ctx, func(ctx context.Context) (err error) {
			deployed, err = api.UpdateFunction(ctx, ref, name.Slug(), supabase.FunctionUpdate{Name: &marker, VerifyJWT: &verify})
			return err
		})
		return deployed, err
	}
	files := make(map[string][]byte, len(spec.Source.Files))
	directory := path.Join(uploadRoot, name.Slug())
	for file, content := range spec.Source.Files {
		files[path.Join(directory, file)] = content
	}
	deployment := supabase.Deployment{
		Slug: name.Slug(), Name: name.FunctionMarker(),
		Entrypoint: path.Join(directory, source.Entrypoint), Files: files,
	}
	if spec.Source.ImportMap != "" {
		deployment.ImportMap = path.Join(directory, spec.Source.ImportMap)
	}
	err = l.request(ctx, func(ctx context.Context) (err error) {
		deployed, err = api.DeployFunction(ctx, ref, deployment)
		return err
	})
	return deployed, err
}

func (l *lease) applyLogConstraint(ctx context.Context, spec backup.Spec, found backup.State) error {
	refusing := found.RefusingConstraints()
	if !spec.ExtendLogConstraint {
		return fmt.Errorf("%w: %s", ErrLogRefused, strings.Join(refusing, ", "))
	}
	names, err := json.Marshal(refusing)
	if err != nil {
		return err
	}
	return l.service.shared.runOnce(ctx, "log constraint", l.scripts, func() error {
		_, err := l.write(ctx, queries.ExtendLogConstraint, string(names), string(spec.ID.Name), l.holder)
		return err
	})
}

// ErrLogRefused says that a CHECK of public.backup_logs refuses the rows of
// the automatic backup and that it may not be changed.
var ErrLogRefused = errors.New("a CHECK of public.backup_logs refuses action_type 'auto_backup'")

func (l *lease) applyJobs(ctx context.Context, spec backup.Spec, found backup.State, functionID string) error {
	wanted := spec.Jobs()
	jobs := make([]backup.Job, 0, len(wanted))
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		jobs = append(jobs, wanted[key])
	}
	surplus := []int64{}
	for key, job := range found.Jobs {
		if _, ok := wanted[key]; !ok {
			surplus = append(surplus, job.ID)
		} else if job.Username != backup.JobOwner {
			// auto_backup.configure creates the job again, for the right role.
			surplus = append(surplus, job.ID)
		}
	}
	for key, job := range found.ConflictingJobs {
		if job.Username != backup.JobOwner && spec.WantsJob(key) {
			surplus = append(surplus, job.ID)
		}
	}
	slices.Sort(surplus)
	settings, errSettings := json.Marshal(spec.Settings)
	list, errJobs := json.Marshal(jobs)
	ids, errIDs := json.Marshal(surplus)
	if err := errors.Join(errSettings, errJobs, errIDs); err != nil {
		return err
	}
	args := []any{string(spec.ID.Name), string(settings), functionID, string(list), string(ids), l.holder}
	if len(found.ChannelsToRemove(spec)) > 0 {
		_, err := l.write(ctx, queries.Configure, args...)
		return err
	}
	// It is the last change, so it also releases the lease.
	return l.finish(ctx, queries.Finish, args...)
}

// Reopen marks an installation as unfinished after all, so that the next apply may
// start it over.
func (s *Service) Reopen(ctx context.Context, id backup.ID) error {
	_, err := s.DB.Query(ctx, postgres.ReadWrite, queries.Reopen, string(id.Name))
	if err != nil {
		return fmt.Errorf("note that backup %s is unfinished: %w", id, err)
	}
	return nil
}

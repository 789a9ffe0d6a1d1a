package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// Remove takes a backup out of its project, in the reverse order of Apply. It
// removes only what carries the provider's ownership marker; what is already gone
// is not an error. The application's tables, its log rows and its backups stay. It
// returns remarks for a person. The errors are a *RightsError, a *BusyError, a
// *PartError, and ErrLeaseLost, which may be wrapped.
func (s *Service) Remove(ctx context.Context, found backup.State) (remarks []string, err error) {
	if !found.Installed() {
		return nil, nil
	}
	if err := s.checkRights(ctx, found.ID, rightsToRemove(found)); err != nil {
		return nil, err
	}
	err = s.exclusively(ctx, found, func(ctx context.Context, l *lease, now backup.State) (err error) {
		if now.Supersedes(found) {
			remarks = []string{"Another apply has recreated the backup in the meantime. What exists now belongs to that apply and stays."}
			return nil
		}
		remarks, err = l.remove(ctx, now)
		return err
	})
	return remarks, err
}

// remove is Remove under a lease.
func (l *lease) remove(ctx context.Context, found backup.State) ([]string, error) {
	var remarks []string
	name := found.ID.Name
	steps := []struct {
		part backup.Part
		run  func() error
	}{
		{backup.PartJobs, func() error { return l.removeJobs(ctx, found) }},
		{backup.PartLogConstraint, func() (err error) {
			if found.Functions["leave"] != "" && found.Functions["restore_log_constraint"] != "" {
				remarks, err = l.leave(ctx)
			}
			return err
		}},
		{backup.PartFunction, func() error {
			if !found.OwnsFunction() {
				return nil
			}
			return l.request(ctx, func(ctx context.Context) error {
				if err := l.service.API.DeleteFunction(ctx, l.service.Ref, name.Slug()); err != nil && !errors.Is(err, supabase.ErrNotFound) {
					return err
				}
				return nil
			})
		}},
		{backup.PartSecrets, func() error { return l.deleteSecrets(ctx, found.RemovableSecrets()...) }},
		{backup.PartToken, func() error {
			return l.removeVaultSecrets(ctx, found.RemovableVault())
		}},
		{backup.PartDispatcher, func() error { return l.removeDispatcher(ctx, found) }},
	}
	for _, step := range steps {
		if err := step.run(); err != nil {
			return remarks, &PartError{ID: found.ID, Part: step.part, Verb: "remove", Err: err}
		}
	}
	if err := l.service.settle(ctx); err != nil {
		return remarks, &PartError{ID: found.ID, Part: backup.PartSecrets, Verb: "remove", Err: err}
	}
	if kept := found.KeptSecrets(backup.Spec{}); kept != "" {
		remarks = append(remarks, kept)
	}
	return remarks, nil
}

func (l *lease) removeJobs(ctx context.Context, found backup.State) error {
	if len(found.Jobs) == 0 {
		return nil
	}
	own, others := []int64{}, []int64{}
	for _, job := range found.Jobs {
		if job.Username == backup.JobOwner {
			own = append(own, job.ID)
		} else {
			others = append(others, job.ID)
		}
	}
	for _, part := range []struct {
		statement string
		ids       []int64
	}{{queries.UnscheduleOthers, others}, {queries.Unschedule, own}} { // what may be refused comes first
		if len(part.ids) == 0 {
			continue
		}
		slices.Sort(part.ids)
		list, err := json.Marshal(part.ids)
		if err != nil {
			return err
		}
		if _, err := l.write(ctx, part.statement, string(list), string(found.ID.Name), l.holder); err != nil {
			return err
		}
	}
	return nil
}

// leave puts the CHECKs of the log back when the last backup goes.
func (l *lease) leave(ctx context.Context) ([]string, error) {
	answer, err := l.write(ctx, queries.Leave, string(l.name), l.holder)
	if err != nil {
		return nil, err
	}
	var unchecked []string
	if err := json.Unmarshal(answer, &unchecked); err != nil {
		return nil, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	var remarks []string
	for _, name := range unchecked {
		remarks = append(remarks, fmt.Sprintf("The CHECK %s of public.backup_logs is restored, but NOT VALID: the log keeps its rows of action_type 'auto_backup', and the CHECK refuses new ones.", name))
	}
	return remarks, nil
}

func (l *lease) removeDispatcher(ctx context.Context, found backup.State) error {
	if found.Settings != nil {
		if _, err := l.write(ctx, queries.Forget, string(found.ID.Name), l.holder); err != nil {
			return err
		}
	}
	// The script checks for other backups itself: an earlier answer could include
	// one that is being removed right now.
	return l.removal(ctx, payload.LoadDispatcher().Remove)
}

package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// An apply or a removal for which a right is missing would stop half-way: a removal
// over a connection that may write, with a token that may not, would remove the jobs
// and leave the function. So rights are looked at before the first write.

// ErrDatabaseRole says that the database role may not make a change.
var ErrDatabaseRole = errors.New("the database role may not do this")

// RightsError says that rights are missing for a change, and that nothing was
// changed.
type RightsError struct {
	ID backup.ID
	// Missing says of each right what lacks it and how to grant it.
	Missing []error
}

func (e *RightsError) Error() string {
	texts := make([]string, len(e.Missing))
	for i, err := range e.Missing {
		texts[i] = err.Error()
	}
	return fmt.Sprintf("backup %s: nothing was changed, because rights are missing:\n\n- %s", e.ID, strings.Join(texts, "\n- "))
}

func (e *RightsError) Unwrap() []error { return e.Missing }

// rights are what a change needs beyond writing to the database as postgres.
type rights struct {
	functions, secrets, keys bool
	// log is the right to alter public.backup_logs, agent to set up the role
	// auto_backup_agent, removal to drop schema auto_backup.
	log, agent, removal bool
}

// rightsToApply are the rights that an apply of spec needs.
func rightsToApply(spec backup.Spec, found backup.State) rights {
	need := rights{keys: found.NeedsAlertKey(spec)}
	for _, difference := range backup.Diff(spec, found) {
		switch difference.Part {
		case backup.PartToken:
			need.secrets = need.secrets || spec.RotateToken || !found.Token.Intact()
		case backup.PartSecrets:
			need.secrets = true
		case backup.PartFunction:
			need.functions = true
		case backup.PartLogConstraint:
			need.log = spec.ExtendLogConstraint
		case backup.PartDispatcher:
			need.agent = true
		case backup.PartExtensions, backup.PartChannels, backup.PartJobs:
			// The role postgres, which databaseRights asks for, may write these.
		}
	}
	return need
}

// rightsToRemove are the rights that a removal needs.
func rightsToRemove(found backup.State) rights {
	return rights{
		functions: found.OwnsFunction(), secrets: len(found.RemovableSecrets()) > 0, removal: true,
	}
}

// checkRights returns a *RightsError if the token or the database role lacks a right
// that a change needs. It changes nothing.
func (s *Service) checkRights(ctx context.Context, id backup.ID, need rights) error {
	checks := []func() []error{func() []error { return s.databaseRights(ctx, need) }}
	token := func(needed bool, try func() error) {
		if needed {
			checks = append(checks, func() []error { return []error{try()} })
		}
	}
	token(need.functions, func() error { return s.API.MayWriteFunctions(ctx, s.Ref) })
	token(need.secrets, func() error { return s.API.MayWriteSecrets(ctx, s.Ref) })
	token(need.keys, func() error { _, err := s.API.APIKeys(ctx, s.Ref); return err })

	results := make([][]error, len(checks))
	var group sync.WaitGroup
	for i, check := range checks {
		group.Go(func() { results[i] = check() })
	}
	group.Wait()
	var missing []error
	for _, result := range results {
		for _, err := range result {
			switch {
			case err == nil:
			case errors.Is(err, supabase.ErrForbidden), errors.Is(err, fs.ErrPermission), errors.Is(err, ErrDatabaseRole):
				missing = append(missing, err)
			default:
				return fmt.Errorf("check what may be changed of backup %s: %w", id, err)
			}
		}
	}
	if len(missing) > 0 {
		return &RightsError{ID: id, Missing: missing}
	}
	return nil
}

// databaseRole is what decides whether the database role may make a change.
type databaseRole struct {
	User        string `json:"user"`
	ReadOnly    bool   `json:"read_only"`
	SchemaOwner string `json:"schema_owner"`
	LogOwner    string `json:"log_owner"`
	LogWidened  bool   `json:"log_widened"`
	// AgentMissing says that there is no role auto_backup_agent, AgentAllowed that
	// the database role may create it or, if there is one, make it the owner of a
	// function.
	AgentMissing bool `json:"agent_missing"`
	AgentAllowed bool `json:"agent_allowed"`
}

func (s *shared) readRole(ctx context.Context) (role databaseRole, err error) {
	// It is the role that writes, but nothing is written that shared reads would have
	// to be forgotten for.
	answer, err := s.db.Query(ctx, postgres.ReadWrite, queries.Rights)
	if schemaMissing(err) {
		// Another removal has dropped the schema after the statement had found it.
		answer, err = s.db.Query(ctx, postgres.ReadWrite, queries.Rights)
	}
	if err != nil {
		return role, err
	}
	if err := json.Unmarshal(answer, &role); err != nil {
		return role, fmt.Errorf("the database's answer has an unexpected form: %w", err)
	}
	return role, nil
}

// readRoleOnce reads the role once for all applies of a run: what they look at does
// not depend on what this process writes. A removal also looks at the log, which an
// apply changes.
func (s *shared) readRoleOnce(ctx context.Context) (databaseRole, error) {
	r, err := join(ctx, s, &s.role, s.readRole)
	return r.value, err
}

// databaseRights returns an error for each right that the database role lacks.
func (s *Service) databaseRights(ctx context.Context, need rights) []error {
	read := s.shared.readRoleOnce
	if need.removal {
		read = s.shared.readRole
	}
	role, err := read(ctx)
	if err != nil {
		return []error{err}
	}
	var missing []error
	lacks := func(text string, args ...any) {
		missing = append(missing, fmt.Errorf("%w: "+text, append([]any{ErrDatabaseRole}, args...)...))
	}
	switch {
	case role.User != backup.JobOwner:
		lacks("the connection is made as %s, and pg_cron lets only %s change the backup's jobs; connect as %s", role.User, backup.JobOwner, backup.JobOwner)
		return missing
	case role.ReadOnly:
		lacks("the database accepts no writes from %s (transaction_read_only is on); connect to the primary, and switch default_transaction_read_only off", role.User)
	}
	switch {
	case !need.agent || role.AgentAllowed:
	case role.AgentMissing:
		lacks("%s may not create the role auto_backup_agent, with which the jobs write outside their schema; as a superuser (on Supabase, ask its support), run: alter role %s createrole", role.User, role.User)
	default:
		lacks("the role auto_backup_agent was not created by %s, which may not make it the owner of a function; as a superuser (on Supabase, ask its support), run: grant auto_backup_agent to %s with admin option", role.User, role.User)
	}
	if need.removal && role.SchemaOwner != "" {
		lacks("the schema auto_backup belongs to role %s, and %s may not drop it; as that role or a superuser, run: alter schema auto_backup owner to %s", role.SchemaOwner, role.User, backup.JobOwner)
	}
	if role.LogOwner != "" && (need.log || need.removal && role.LogWidened) {
		lacks("the table public.backup_logs belongs to role %s, and %s may not change its CHECK; as that role or a superuser, run: alter table public.backup_logs owner to %s", role.LogOwner, role.User, backup.JobOwner)
	}
	return missing
}

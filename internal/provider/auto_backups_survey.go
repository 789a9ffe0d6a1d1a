package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/report"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

const (
	// fleetAtOnce is how many projects are read at a time, as many as Terraform refreshes.
	fleetAtOnce = 10
	// fleetPatience is how long one project may take. A window of the rate limit fits into it.
	fleetPatience = 2 * time.Minute
)

// stopped are the statuses of a project in which nothing runs until somebody changes that,
// with what they mean for its backup.
var stopped = map[string]report.State{
	statusPaused: report.Paused, "PAUSING": report.Paused, "GOING_DOWN": report.Removed, "REMOVED": report.Removed,
}

// down are the statuses of a project whose database does not run now. To ask it would
// fail, after a minute.
var down = []string{"COMING_UP", "INIT_FAILED", "RESTORING", "RESTORE_FAILED", "UPGRADING"}

// survey reads how one backup is doing in many projects.
type survey struct {
	projects *projects
	name     backup.Name
	require  []health.Requirement
}

// list returns the projects to read: those that are named, or all that the token can see.
// Of a named one, nothing but its reference need be known.
func (s survey) list(ctx context.Context, named []string) ([]supabase.Project, error) {
	if s.projects.config.SelfHosted != nil {
		if len(named) == 0 {
			named = []string{backup.SelfHostedRef}
		}
		return namedProjects(named, nil), nil
	}
	all, err := s.projects.client.Projects(ctx)
	if len(named) == 0 || errors.Is(err, supabase.ErrUnauthorized) {
		return all, err
	}
	return namedProjects(named, all), nil
}

// namedProjects returns the projects with these references, each with what is known of it.
func namedProjects(refs []string, known []supabase.Project) (list []supabase.Project) {
	for _, ref := range refs {
		project := supabase.Project{Ref: ref}
		if i := slices.IndexFunc(known, func(p supabase.Project) bool { return p.Ref == ref }); i >= 0 {
			project = known[i]
		}
		list = append(list, project)
	}
	return list
}

// readAll reads the projects, several at a time. named says that somebody named them.
func (s survey) readAll(ctx context.Context, list []supabase.Project, named bool) []report.Project {
	found := make([]report.Project, len(list))
	for i, p := range list {
		found[i] = report.Project{Ref: p.Ref, Name: text.Line(p.Name), Region: text.Line(p.Region), Status: text.Line(p.Status), Named: named}
	}
	gather(ctx, found, fleetPatience, s.read)
	return found
}

// gather reads projects, several at a time, and gives each one a limited time. Whichever
// fails, or for which no time is left, is unreadable, and the others are as they are.
func gather(ctx context.Context, projects []report.Project, patience time.Duration, read func(context.Context, string) (health.Status, error)) {
	var group errgroup.Group
	group.SetLimit(fleetAtOnce)
	for i := range projects {
		p := &projects[i]
		switch {
		case stopped[p.Status] != "":
			p.State = stopped[p.Status]
			continue
		case slices.Contains(down, p.Status):
			p.Unread("Its database does not run: the project's status is " + p.Status + ".")
			continue
		}
		group.Go(func() error {
			if ctx.Err() != nil {
				p.Unread("No time was left for this project. Raise `timeout`.")
				return nil
			}
			limited, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			status, err := read(limited, p.Ref)
			switch {
			case err == nil:
				p.Fill(status)
			case limited.Err() != nil && ctx.Err() == nil:
				p.Unread(fmt.Sprintf("It did not answer within %s: %s", formatDuration(patience), err))
			default:
				p.Unread(err.Error())
			}
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

// read reads the status of the backup in one project.
func (s survey) read(ctx context.Context, ref string) (health.Status, error) {
	service, err := s.projects.passing(ref)
	if err != nil {
		return health.Status{}, err
	}
	return health.Read(ctx, service, health.Query{
		ID: backup.ID{ProjectRef: service.Ref, Name: s.name}, Clock: time.Now(), Require: s.require,
		FunctionURL: backup.FunctionURL(s.projects.config.gateway(service.Ref).url, s.name.Slug()),
	})
}

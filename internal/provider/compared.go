package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres/identity"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// errWrongDatabase says that a database URL does not lead to its project's database,
// or that nothing shows that it does.
var errWrongDatabase = errors.New("nothing was changed")

// compared is the database behind a URL. Before the first write it is compared with
// the one that the Management API reaches for the project: a URL may name no project,
// or name the right one and lead elsewhere, as through a tunnel. Reads do not wait
// for a comparison, so it costs a plan nothing.
type compared struct {
	postgres.DB
	// platform is the same project's database over the Management API.
	platform postgres.DB
	chosen   database

	// turn is held while same is used.
	turn chan struct{}
	// same says that the databases were compared and are the same.
	same bool
}

func newCompared(direct, platform postgres.DB, chosen database) *compared {
	return &compared{DB: direct, platform: platform, chosen: chosen, turn: make(chan struct{}, 1)}
}

// Query implements postgres.DB.
func (c *compared) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	if access != postgres.ReadOnly {
		if err := c.compare(ctx); err != nil {
			return nil, err
		}
	}
	return c.DB.Query(ctx, access, sql, args...)
}

// QueryAfter implements postgres.DB.
func (c *compared) QueryAfter(ctx context.Context, first postgres.Statement, sql string, args ...any) (json.RawMessage, error) {
	if err := c.compare(ctx); err != nil {
		return nil, err
	}
	return c.DB.QueryAfter(ctx, first, sql, args...)
}

// Exec implements postgres.DB.
func (c *compared) Exec(ctx context.Context, script string) error {
	if err := c.compare(ctx); err != nil {
		return err
	}
	return c.DB.Exec(ctx, script)
}

// compare returns an error that is errWrongDatabase if the databases are not the same
// one. It sends one statement to each, until they were found to be the same.
func (c *compared) compare(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.same {
		return nil
	}
	direct, platform, err := c.identify(ctx)
	if err == nil && direct.MayHaveRestarted(platform) {
		direct, platform, err = c.identify(ctx)
	}
	switch {
	case errors.Is(err, supabase.ErrForbidden) && c.chosen.Named:
		// A token without the right to run SQL is one reason to have a database URL.
	case errors.Is(err, supabase.ErrForbidden):
		return fmt.Errorf("the database behind %s (host %s) could not be compared with the one of project %s, because the access token may not run SQL there: %w; %w. "+
			"Or use a URL that names the project: with the host db.%s.supabase.co, or a user that ends in .%s",
			c.chosen.Source, c.chosen.Host, c.chosen.Project, err, errWrongDatabase, c.chosen.Project, c.chosen.Project)
	case err != nil:
		return fmt.Errorf("compare the database behind %s with the one of project %s: %w", c.chosen.Source, c.chosen.Project, err)
	case !direct.Equal(platform):
		return c.differ(direct, platform)
	}
	c.same = true
	return nil
}

// identify asks both databases at the same time.
func (c *compared) identify(ctx context.Context) (direct, platform identity.Database, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { direct, err = identity.Of(ctx, c.DB); return err })
	group.Go(func() (err error) { platform, err = identity.Of(ctx, c.platform); return err })
	err = group.Wait()
	return direct, platform, err
}

// differ returns the error for two databases that are not the same one.
func (c *compared) differ(direct, platform identity.Database) error {
	kind := ""
	if direct.MayHaveRestarted(platform) {
		kind = ". One is a copy or a standby of the other: only the time at which the server was started differs"
	}
	return fmt.Errorf("the database behind %s (host %s, %s) is not the one of project %s, which the Management API reaches (%s)%s; %w. "+
		"Use the connection string of project %s, or set `database_url = \"\"` in the provider block to send SQL through the Management API",
		c.chosen.Source, c.chosen.Host, direct, c.chosen.Project, platform, kind, errWrongDatabase, c.chosen.Project)
}

// checkDatabase returns an error that is errWrongDatabase if the database that
// serves a project is not the project's.
func (p *projects) checkDatabase(ctx context.Context, ref string) error {
	p.mu.Lock()
	db := p.compared
	p.mu.Unlock()
	if db == nil || db.chosen.Project != ref {
		return nil
	}
	return db.compare(ctx)
}

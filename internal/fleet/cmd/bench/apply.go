package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	applied    = 50 // backups in the apply
	applyTimes = 3
)

// apply measures an apply of new backups into the one project of a stack, which is a new one
// for each apply.
func (b *bench) apply(ctx context.Context) (a Applied, err error) {
	log.Printf("applying %d backups, %d times", applied, applyTimes)
	a = Applied{Run: Run{Backups: applied, Projects: 1}}
	err = a.turns(b.candidates, oftener(applyTimes), func(c *candidate) (measurement, error) {
		m, trips, err := b.applyOnce(ctx, c)
		if err != nil {
			return m, err
		}
		api, sql := 0, 0
		for what, times := range trips {
			if strings.HasPrefix(what, "SQL") {
				sql += times
			} else {
				api += times
			}
		}
		*a.Requests.of(c.name), *a.Statements.of(c.name) = float64(api), float64(sql)
		if c.name == nameProvider {
			a.Trips = trips
		}
		return m, nil
	})
	for _, what := range slices.Sorted(maps.Keys(a.Trips)) {
		log.Printf("%5d  %s", a.Trips[what], what)
	}
	return a, err
}

// applyOnce measures one apply and counts its requests and statements by what they are for.
func (b *bench) applyOnce(ctx context.Context, c *candidate) (m measurement, trips map[string]int, err error) {
	s, err := stack.Start(ctx, stack.Options{Articles: 1, RateLimit: -1})
	if err != nil {
		return m, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var mu sync.Mutex
	trips = map[string]int{}
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			what, err := purpose(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			mu.Lock()
			trips[what]++
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	})
	defer s.InterceptAPI(nil)
	dir, err := b.mkdir("apply")
	if err != nil {
		return m, nil, err
	}
	w, err := c.fresh(ctx, dir, s.Environ(), []string{s.ProjectRef}, applied)
	if err != nil {
		return m, nil, err
	}
	m, err = b.measure(ctx, w, c, "apply", "-auto-approve", "-no-color")
	return m, trips, err
}

// purpose returns the endpoint of a request, without the names in it. Of SQL it is the
// comment with which the statement begins.
func purpose(r *http.Request) (string, error) {
	parts := strings.Split(r.URL.Path, "/") // "", v1, projects, ref, …
	if len(parts) < 5 {
		return r.Method + " " + r.URL.Path, nil
	}
	endpoint := parts[4:]
	if endpoint[0] != "database" {
		if len(endpoint) > 1 && endpoint[1] != "deploy" {
			endpoint[1] = "{slug}"
		}
		return r.Method + " /" + strings.Join(endpoint, "/"), nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	var body struct{ Query string }
	if err := json.Unmarshal(text, &body); err != nil {
		return "", err
	}
	for line := range strings.Lines(body.Query) {
		if comment, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok {
			return fmt.Sprintf("SQL %s", comment), nil
		}
	}
	return "SQL without a comment", nil
}

// newProjects are the numbers of projects whose first apply is measured.
var newProjects = []int{25, 50, 100, mostProjects}

// projects measures the first apply of ever more projects, with one backup in each. The API
// responds as a stack did to the same apply in its one project. What the databases do
// meanwhile is not in it: on the platform each project has a machine of its own, and here
// all would share one.
func (b *bench) projects(ctx context.Context) ([]Run, error) {
	recordings := map[*candidate]*stack.Recording{}
	for _, c := range b.candidates {
		var err error
		if recordings[c], err = c.record(ctx); err != nil {
			return nil, err
		}
	}
	var all []Run
	for _, projects := range newProjects {
		log.Printf("applying a backup in each of %d new projects", projects)
		r := Run{Backups: projects, Projects: projects}
		times := 1
		if projects == mostProjects || projects*4 == mostProjects {
			times = applyTimes // their times are compared
		}
		err := r.turns(b.candidates, oftener(times), func(c *candidate) (m measurement, err error) {
			f, err := recordings[c].Serve(ctx, stack.FleetOptions{Projects: projects})
			if err != nil {
				return m, err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			dir, err := b.mkdir("projects")
			if err != nil {
				return m, err
			}
			w, err := c.fresh(ctx, dir, f.Environ(), f.Refs, 1)
			if err != nil {
				return m, err
			}
			if m, err = b.measure(ctx, w, c, "apply", "-auto-approve", "-no-color"); err != nil {
				return m, err
			}
			stats := f.Stats()
			if len(stats.Unexpected) > 0 {
				return m, fmt.Errorf("%s: requests that only this run made: %v", c.name, stats.Unexpected)
			}
			r.count(c, stats)
			return m, nil
		})
		if err != nil {
			return nil, fmt.Errorf("first apply of %d projects: %w", projects, err)
		}
		all = append(all, r)
	}
	return all, nil
}

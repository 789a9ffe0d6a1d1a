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

	"github.com/aimindset/terraform-provider-aimindset/internal/fleet"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	applied = 50 // backups in the apply
	// The most requests to the API and SQL statements of it.
	requestsLimit, statementsLimit = 210, 160
)

// Applied is one apply into an empty project.
type Applied struct {
	Backups int  `json:"backups"`
	API     int  `json:"api_requests"`
	SQL     int  `json:"sql_statements"`
	Wall    Pair `json:"wall_ms"`
	Peak    Pair `json:"provider_peak_kib"`
	// Trips counts the requests and the statements by what they are for.
	Trips map[string]int `json:"trips"`
}

// apply measures an apply of new backups into the one project of a stack.
func (b *bench) apply(ctx context.Context) (_ Applied, err error) {
	log.Printf("applying %d backups", applied)
	a := Applied{Backups: applied, Trips: map[string]int{}}
	s, err := stack.Start(ctx, stack.Options{Articles: 1, RateLimit: -1})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var mu sync.Mutex
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			what, err := purpose(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			mu.Lock()
			a.Trips[what]++
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	})
	var m [2]measurement
	for i, provider := range b.providers {
		dir, err := b.mkdir("apply")
		if err != nil {
			return a, err
		}
		w, err := fleet.NewWorkingDirectory(ctx, dir, b.metered, s.Environ(), []string{s.ProjectRef}, applied)
		if err != nil {
			return a, err
		}
		if m[i], err = b.measure(ctx, w, provider, "apply", "-auto-approve", "-no-color"); err != nil {
			return a, err
		}
	}
	s.InterceptAPI(nil)
	for what, times := range a.Trips {
		if strings.HasPrefix(what, "SQL") {
			a.SQL += times
		} else {
			a.API += times
		}
	}
	for _, what := range slices.Sorted(maps.Keys(a.Trips)) {
		log.Printf("%5d  %s", a.Trips[what], what)
	}
	a.Wall, a.Peak = pair(m[0].wall, m[1].wall), pair(m[0].peak, m[1].peak)
	return a, nil
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

// judge compares the counts with their limits.
func (a *Applied) judge(miss func(what string, got, limit float64)) {
	miss("the number of requests of an apply", float64(a.API), requestsLimit)
	miss("the number of statements of an apply", float64(a.SQL), statementsLimit)
}

package supabase

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestBackups proves what is understood of the platform's list: only backups that are
// complete count, the newest one says the kind, and point-in-time recovery is known by
// its own figures.
func TestBackups(t *testing.T) {
	t.Parallel()
	at := func(day int) time.Time { return time.Date(2026, time.November, day, 4, 5, 6, 0, time.UTC) }
	for name, c := range map[string]struct {
		body string
		want Backups
	}{
		"none": {`{"region":"sa-east-1","walg_enabled":false,"pitr_enabled":false,"backups":[],"physical_backup_data":{}}`, Backups{Kind: "none", Region: "sa-east-1"}},
		"daily, in any order": {
			`{"region":"r","pitr_enabled":false,"backups":[
				{"id":1,"is_physical_backup":false,"status":"COMPLETED","inserted_at":"2026-11-24T04:05:06.000Z"},
				{"id":2,"is_physical_backup":true,"status":"COMPLETED","inserted_at":"2026-11-26T01:05:06-03:00"},
				{"id":3,"is_physical_backup":false,"status":"COMPLETED","inserted_at":"2026-11-25T04:05:06Z"}]}`,
			Backups{Kind: "physical", NewestAt: at(26), Region: "r"},
		},
		"dumps, of which the newest failed": {
			`{"region":"r","pitr_enabled":false,"backups":[
				{"is_physical_backup":true,"status":"FAILED","inserted_at":"2026-11-26T04:05:06Z"},
				{"is_physical_backup":true,"status":"PENDING","inserted_at":"2026-11-26T04:05:06Z"},
				{"is_physical_backup":true,"status":"REMOVED","inserted_at":"2026-11-26T04:05:06Z"},
				{"is_physical_backup":false,"status":"COMPLETED","inserted_at":"2026-11-25T04:05:06"}]}`,
			Backups{Kind: "logical", NewestAt: at(25), Region: "r"},
		},
		"none that is complete": {
			`{"region":"r","pitr_enabled":false,"backups":[{"is_physical_backup":true,"status":"PENDING","inserted_at":"2026-11-26T04:05:06Z"}]}`,
			Backups{Kind: "none", Region: "r"},
		},
		"PITR": {
			`{"region":"r","pitr_enabled":true,"backups":[],"physical_backup_data":{"earliest_physical_backup_date_unix":1,"latest_physical_backup_date_unix":1795665906}}`,
			Backups{Kind: "physical", NewestAt: time.Unix(1795665906, 0).UTC(), PITR: true, Region: "r"},
		},
		"PITR that has just been turned on": {
			`{"region":"r","pitr_enabled":true,"backups":[],"physical_backup_data":{}}`,
			Backups{Kind: "none", PITR: true, Region: "r"},
		},
		"a time in another form": {
			`{"region":"r","pitr_enabled":false,"backups":[{"is_physical_backup":true,"status":"COMPLETED","inserted_at":"yesterday"}]}`,
			Backups{Kind: "physical", Region: "r"},
		},
		"a region that is no name": {`{"region":"a\u001b[31m\nb","pitr_enabled":false,"backups":[]}`, Backups{Kind: "none", Region: "a[31m b"}},
	} {
		got, err := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, 200, c.body), nil })).Backups(t.Context(), testRef)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, want %+v: %v", name, got, c.want, err)
		}
	}
}

// TestBackupsAreOptional proves that nobody waits long for the platform's backups: a
// failure and a refusal are worth one more attempt.
func TestBackupsAreOptional(t *testing.T) {
	t.Parallel()
	for status, limit := range map[int]time.Duration{500: time.Second, 403: 0, 429: 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			requests, began := 0, time.Now()
			_, err := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				requests++
				return answer(r, status, `{"message":"no"}`), nil
			})).Backups(t.Context(), testRef)
			var failure *Error
			if !errors.As(err, &failure) || failure.Status != status || requests > 2 || time.Since(began) > limit {
				t.Errorf("HTTP %d: %d requests in %s: %v", status, requests, time.Since(began), err)
			}
		})
	}
}

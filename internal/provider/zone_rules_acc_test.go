package provider_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// withRules makes the database tell other rules of time zones than its own: from each
// time on, São Paulo is ahead of UTC by so many seconds. PostgreSQL reads the zones of
// the operating system, so a test cannot give it others.
func (p *project) withRules(changes [][2]int64) {
	p.t.Helper()
	replace := func(value any) any { return value }
	replace = func(value any) any {
		switch value := value.(type) {
		case []any:
			for i := range value {
				value[i] = replace(value[i])
			}
		case map[string]any:
			for key := range value {
				if key == "zone_changes" {
					value[key] = map[string]any{"America/Sao_Paulo": changes}
				} else {
					value[key] = replace(value[key])
				}
			}
		}
		return value
	}
	p.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, r)
			body := recorder.Body.Bytes()
			if bytes.Contains(body, []byte(`"zone_changes"`)) {
				decoder := json.NewDecoder(bytes.NewReader(body))
				decoder.UseNumber()
				var document any
				if err := decoder.Decode(&document); err == nil {
					body, _ = json.Marshal(replace(document))
				}
			}
			for name, values := range recorder.Header() {
				w.Header()[name] = values
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.WriteHeader(recorder.Code)
			_, _ = w.Write(body)
		})
	})
	p.t.Cleanup(func() { p.InterceptAPI(nil) })
}

// TestZoneRules proves what happens when Brazil has summer time again and the database
// knows it before the provider, or the other way round: the plan compiles the jobs by
// the database's rules and says that they differ, another plan is empty, and when the
// database changes its rules, the next plan shows the jobs' new ticks.
func TestZoneRules(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 3})
	const day = 24 * 3600
	now := time.Now().Unix() / day * day
	p.withRules([][2]int64{{now - day, -10800}, {now + 100*day + 10800, -7200}, {now + 200*day + 7200, -10800}})
	c := newCLI(t, required+`resource "aimindset_auto_backup" "this" {}`, p.Environ()...)
	planned := c.run(2, "plan", "-detailed-exitcode", "-no-color")
	c.says(planned, `"daily" = "0 5,6 * * *"`, "The clock of America/Sao_Paulo goes differently", "(UTC-02:00) by the database and", "(UTC-03:00) by the provider")
	c.run(0, "apply", "-auto-approve", "-no-color")
	if got := p.value("select schedule from cron.job where jobname = 'auto-backup-daily'"); got != "0 5,6 * * *" {
		t.Errorf("the job ticks at %s", got)
	}
	c.run(0, "plan", "-detailed-exitcode", "-no-color")

	p.InterceptAPI(nil)
	planned = c.run(2, "plan", "-detailed-exitcode", "-no-color")
	c.says(planned, `"0 5,6 * * *" -> "0 6 * * *"`, "0 to add, 1 to change, 0 to destroy")
	c.silent(planned, "goes differently")
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.run(0, "plan", "-detailed-exitcode", "-no-color")
}

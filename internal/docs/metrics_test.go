package docs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// metrics proves that the scripts of the example give the metrics of a backup, read with
// a read-only token, to the textfile collector and to a Pushgateway, and that they fail
// and leave the last metrics as they are where the status cannot be read or the gateway
// refuses. That Prometheus reads the metrics is proven in internal/report/prometheus.
func metrics(t *testing.T, u *user, s *stack.Stack) {
	exposed := regexp.MustCompile(`(?s)^# HELP aimindset_backup_healthy .*\naimindset_backup_healthy\{project="` + s.ProjectRef + `",backup="auto-backup"\} 1\n.*\n# EOF\n$`)
	u.run(0, "mkdir 'a directory' && sh ./textfile.sh 'a directory'")
	if content := u.run(0, "cat 'a directory'/aimindset_backup.prom"); !exposed.MatchString(content) {
		t.Errorf("the textfile is\n%s", content)
	}
	const listing = "ls -l 'a directory' | sed 1d | cut -c1-10; ls 'a directory'; cksum 'a directory'/*"
	before := u.run(0, listing)
	if !strings.HasPrefix(before, "-rw-r--r--\naimindset_backup.prom\n") {
		t.Errorf("the directory of the textfile has\n%s", before)
	}

	var requests sync.Map
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests.Store(r.Method+" "+r.URL.Path, string(body))
		if strings.HasPrefix(r.URL.Path, "/refuses/") {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer gateway.Close()
	u.env = append(u.env, "PUSHGATEWAY_URL="+gateway.URL)
	u.run(0, "sh ./push.sh")
	const group = "/metrics/job/aimindset_backup"
	if content, _ := requests.Load("PUT " + group); content == nil || !exposed.MatchString(content.(string)) {
		t.Errorf("the Pushgateway got\n%v", content)
	}
	u.run(22, `PUSHGATEWAY_URL="$PUSHGATEWAY_URL/refuses" sh ./push.sh`)

	requests.Clear()
	u.run(1, "SUPABASE_ACCESS_TOKEN=sbp_"+strings.Repeat("0", 40)+" sh ./push.sh")
	u.run(1, "SUPABASE_ACCESS_TOKEN=sbp_"+strings.Repeat("0", 40)+" sh ./textfile.sh 'a directory'")
	if _, pushed := requests.Load("PUT " + group); pushed {
		t.Error("a status that could not be read was pushed")
	}
	if after := u.run(0, listing); after != before {
		t.Errorf("after a status that could not be read, the directory has\n%s\ninstead of\n%s", after, before)
	}
	u.run(0, `SUPABASE_ACCESS_TOKEN="$INSTALLER_TOKEN" terraform -chdir="$INSTALLER" destroy -input=false -auto-approve`)
}

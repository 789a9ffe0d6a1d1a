package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// runVariable makes the test binary the command itself.
const runVariable = "STACK_COMMAND_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Proves that the command prints settings that work, stays up, and ends without
// an error when it is interrupted or terminated, leaving no file behind.
func TestCommand(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		// Not t.TempDir, which PostgreSQL's user cannot enter.
		tmp, err := os.MkdirTemp("", "stack-command-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(tmp) })
		if err := os.Chmod(tmp, 0o711); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(ctx, os.Args[0], "-articles", "3", "-transport", "database", "-s3", "-terraform-config", "/etc/terraform.rc")
		cmd.Args[0] = "stack"
		cmd.Env = append(os.Environ(), runVariable+"=1", "TMPDIR="+tmp)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		settings := map[string]string{}
		endpoint := ""
		export := regexp.MustCompile(`^export (\w+)='(.*)'$`)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C") {
			if match := export.FindStringSubmatch(lines.Text()); match != nil {
				settings[match[1]] = match[2]
			} else if after, found := strings.CutPrefix(lines.Text(), "# S3 endpoint:"); found {
				endpoint, _, _ = strings.Cut(strings.TrimSpace(after), ",")
			} else if !strings.HasPrefix(lines.Text(), "#") && !strings.HasPrefix(lines.Text(), "unset ") {
				t.Errorf("a shell would run %q", lines.Text())
			}
		}
		for _, name := range []string{"SUPABASE_ACCESS_TOKEN", "SUPABASE_PROJECT_REF", "SUPABASE_API_URL", "SUPABASE_PROJECT_URL", "SUPABASE_DB_URL"} {
			if settings[name] == "" {
				t.Errorf("%s is not printed", name)
			}
		}
		if got := settings["TF_CLI_CONFIG_FILE"]; got != "/etc/terraform.rc" {
			t.Errorf("Terraform's configuration is printed as %q", got)
		}
		conn, err := pgx.Connect(ctx, settings["SUPABASE_DB_URL"])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close(ctx)
		if resp, err := http.Get(endpoint); err != nil || resp.Header.Get("Server") == "" {
			t.Errorf("the S3 server at %q: %v, %v", endpoint, resp, err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
			t.Errorf("%v: left behind: %v, %v", signal, left, err)
		}
	}
}

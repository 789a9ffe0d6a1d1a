package docs_test

import (
	"context"
	"errors"
	"io"
	"os"
	programs "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// What the summary of a pipeline says of the two things that it checks.
const (
	declared    = "✅ The backup is installed as declared"
	notDeclared = "❌ The backup is not as declared"
	notCompared = "❌ The backup could not be compared with the configuration"
	well        = "✅ The backup is healthy"
	unwell      = "❌ The backup is not healthy"
	notRead     = "❌ The status of the backup could not be read"
)

// checker is a pipeline that runs check.sh.
type checker struct {
	*user
	printed []string // everything that it wrote, on whatever way
}

// summary runs the script as GitHub does, and expects its summary to say some texts.
func (c *checker) summary(status int, texts ...string) {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "summary.md")
	// What an earlier step of the job has written stays.
	if err := os.WriteFile(file, []byte("earlier\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	out := c.run(status, "GITHUB_STEP_SUMMARY='"+file+"' ./check.sh")
	summary, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	c.says(string(summary), append(texts, "earlier")...)
	c.printed = append(c.printed, out)
	if status == 0 && out != "" {
		c.t.Errorf("the script printed %q", out)
	}
	if status != 0 && out == "" {
		c.t.Error("the log of a failed step is empty")
	}
}

// prints runs a script in which check.sh has no file for its summary, and expects
// what it prints to say some texts.
func (c *checker) prints(status int, script string, texts ...string) string {
	c.t.Helper()
	out := c.run(status, script)
	c.says(out, texts...)
	return out
}

func (c *checker) says(out string, texts ...string) {
	c.t.Helper()
	c.printed = append(c.printed, out)
	for _, text := range texts {
		if !strings.Contains(unwrapped(out), text) {
			c.t.Errorf("the summary does not say %q:\n%s", text, out)
		}
	}
}

// socket runs the script with a socket as its standard output, as a supervisor of
// services does, and returns what came through it.
func (c *checker) socket(status int, shell string, texts ...string) {
	c.t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
	defer func() { _ = ours.Close() }()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := programs.CommandContext(ctx, shell, "check.sh")
	cmd.Dir, cmd.Env, cmd.Stdout = c.dir, c.env, theirs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	_ = theirs.Close()
	out, err := io.ReadAll(ours)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*programs.ExitError)) {
		c.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		c.t.Errorf("with a socket the status is %d, not %d", got, status)
	}
	c.says(string(out), texts...)
}

// harmless expects that nothing of a log is a command to GitHub, Azure or GitLab, and
// that what is quoted in it ends where the quotation does.
func (c *checker) harmless(out string) {
	c.t.Helper()
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") || strings.Contains(line, "##vso[") || strings.ContainsAny(line, "\r\x1b") {
			c.t.Errorf("this line is a command: %q", line)
		}
	}
	if got := strings.Count(out, "````"); got != 2 {
		c.t.Errorf("there are %d beginnings and ends of a quotation in\n%s", got, out)
	}
}

// inOrder expects texts to stand in a log, one after the other.
func inOrder(t *testing.T, log string, texts ...string) {
	t.Helper()
	rest := log
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Errorf("%q is not where it has to be, or not at all, in\n%s", text, log)
			return
		}
		rest = after
	}
}

// driftDetection proves what the script of a pipeline says, with a token and a
// database role that may only read: a clean project passes; drift, a backup
// that is not healthy and what could not be asked have an exit status of their own
// and a summary that names them, and an error of the one leaves the other to be
// asked. It writes to whatever it is given, in bash and in dash, without touching
// what others write there; no secret is printed; and no text of the database is a
// command to the pipeline.
func driftDetection(t *testing.T, u *user, s *stack.Stack) {
	reader := u.at()
	reader.dir = u.dir
	reader.env = append(reader.env, "SUPABASE_ACCESS_TOKEN="+s.ReadOnlyAccessToken)
	c := &checker{user: reader}

	c.summary(0, declared, well)
	backUp(t, s, "succeeded")
	c.socket(0, "dash", declared, well)
	reader.env = append(reader.env, "SUPABASE_DB_URL="+s.ReadOnlyDatabaseURL)
	c.socket(0, "bash", declared, well)
	// Without anything to read from or to write to.
	c.prints(0, "dash ./check.sh <&- >&- 2>&-")
	c.prints(0, "./check.sh <&-", declared, well)
	// A log that the caller has opened, and one that others append to meanwhile.
	inOrder(t, c.prints(0, "{ echo first; dash ./check.sh; echo last; } >log && cat log && rm log"), "first\n", declared, well, "last\n")
	inOrder(t, c.prints(0, `echo first >log
		{ bash ./check.sh && echo "passed"; } >>log & check=$!
		echo meanwhile >>log
		wait $check
		cat log && rm log`), "first\n", "meanwhile\n", declared, well, "passed\n")

	exec(t, s, "update auto_backup.settings set document = jsonb_set(document, '{retry,attempts}', '7')")
	c.summary(2, notDeclared, `"setting retry.attempts" = "is 7 instead of 1"`, "Plan: 0 to add, 1 to change, 0 to destroy.", well)
	// A reader that has gone does not turn the answer into another one.
	c.prints(0, `for shell in bash dash; do
		$shell ./check.sh 2>/dev/null | true && exit 1
		[ "${PIPESTATUS[*]}" = "2 0" ]
	done`)
	status := filepath.Join("status", "main.tf")
	configuration := c.run(0, "cat "+status)
	c.write(status, strings.Replace(configuration, `data "aimindset_auto_backup_status" "this" {}`, `data "aimindset_auto_backup_status" "this" { name = "Not a name" }`, 1))
	c.summary(1, notDeclared, "is 7 instead of 1", notRead, "Not a name")
	c.write(status, configuration)

	// The messages would end the pipeline's job, had they any power there.
	exec(t, s, `create function public.refuse() returns trigger language plpgsql as $$ begin
		raise exception E'feedbacks are refused ##[error]owned ##vso[task.complete]owned\r\e[0Ksection_start:1:owned'; end $$;
		create trigger refuse before insert on public.backup_feedbacks for each row execute function public.refuse()`)
	backUp(t, s, "failed")
	c.summary(4, notDeclared, unwell, "feedbacks are refused")
	u.run(0, "terraform apply -input=false -auto-approve")
	c.prints(3, "bash ./check.sh", declared, unwell, "feedbacks are refused")
	// The plan fails, and the status is still asked for.
	c.write("refused.tf", "output \"refused\" {\n  value = 1\n  precondition {\n    condition     = aimindset_auto_backup.this.id == \"\"\n"+
		`    error_message = "Refused for a reason.\n::error::owned\n  ::stop-commands::owned\n`+"`````"+`\nThe end."`+"\n  }\n}\n")
	c.summary(1, notCompared, "Refused for a reason.", unwell, "feedbacks are refused")
	c.harmless(c.prints(1, "./check.sh", notCompared, "Refused for a reason.", "owned", "The end.", unwell, "feedbacks are refused"))
	exec(t, s, "drop trigger refuse on public.backup_feedbacks; drop function public.refuse()")
	backUp(t, s, "succeeded")
	c.prints(1, "dash ./check.sh", notCompared, "Refused for a reason.", well)
	c.run(0, "rm refused.tf")
	c.summary(0, declared, well)

	refused := "sbp_" + strings.Repeat("c0ffee42", 5)
	reader.env = append(reader.env, "SUPABASE_ACCESS_TOKEN="+refused)
	c.summary(1, notCompared, "Use a personal access token", notRead)

	password, _ := strings.CutPrefix(s.ReadOnlyDatabaseURL, "postgresql://supabase_read_only_user:")
	password, _, _ = strings.Cut(password, "@")
	for what, secret := range map[string]string{
		"the token": s.ReadOnlyAccessToken, "the refused token": refused, "the database URL": s.ReadOnlyDatabaseURL, "the password": password,
		"the invocation token": value(t, s, "select decrypted_secret from vault.decrypted_secrets where name = 'auto-backup/token'"),
	} {
		if len(secret) < 8 {
			t.Fatalf("there is no secret to look for: %s is %q", what, secret)
		}
		for _, text := range c.printed {
			if strings.Contains(text, secret) {
				t.Errorf("%s was printed in\n%s", what, text)
			}
		}
	}
}

package selfhosted

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// nobody is a user without any rights.
const nobody = 65534

// unprivileged runs a function as a user who is not root. Where the tests are
// run by root, only the thread of this call changes its user; it ends with it.
func unprivileged(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // and never unlocks, so that nobody inherits the thread
		failed := syscall.Errno(0)
		defer func() { done <- failed }()
		if _, _, failed = syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); failed != 0 {
			return
		}
		if _, _, failed = syscall.RawSyscall(syscall.SYS_SETRESGID, nobody, nobody, nobody); failed != 0 {
			return
		}
		if _, _, failed = syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody); failed != 0 {
			return
		}
		do()
	}()
	if failed := <-done; failed != 0 {
		t.Fatal(failed)
	}
}

// reachable lets every user into a temporary directory.
func reachable(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForbidden proves of everything that the user may not write or read that
// the operation fails by that, and changes nothing.
func TestForbidden(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make files that the tests themselves may not touch")
	}
	chmod := func(mode fs.FileMode, names ...string) func(t *testing.T, functions string) {
		return func(t *testing.T, functions string) {
			t.Helper()
			for _, name := range names {
				if err := os.Chmod(filepath.Join(functions, name), mode); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	leftover := func(name string) func(t *testing.T, functions string) {
		return func(t *testing.T, functions string) {
			t.Helper()
			chmod(0o777, ".")(t, functions)
			dir := filepath.Join(functions, name)
			if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "x"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name      string
		arrange   func(t *testing.T, functions string)
		operation string
		says      string
	}{
		{"the functions directory", chmod(0o755, "."), "DeleteFunction", "rename"},
		{"the functions directory", chmod(0o755, "."), "DeployFunction", ".auto-backup.new"},
		{"what a killed run left of a new function", leftover(".auto-backup.new"), "DeployFunction", ".auto-backup.new"},
		{"what a killed run left of a former function", leftover(".auto-backup.old"), "DeployFunction", ".auto-backup.old"},
		{"what a killed run left of a deletion", leftover(".auto-backup.old"), "DeleteFunction", ".auto-backup.old"},
		{"the tokens", chmod(0, "auto-backup/"+payload.TokensFile), "ListSecrets", payload.TokensFile},
		{"the function's directory", chmod(0o755, "auto-backup"), "UpdateFunction", markerFile},
		{"the function's directory", chmod(0o755, "auto-backup"), "SetToken", payload.TokensFile},
		{"the marker", chmod(0o600, "auto-backup/"+markerFile), "UpdateFunction", "read the function"},
	} {
		t.Run(c.operation+" "+c.name, func(t *testing.T) {
			t.Parallel()
			p, dir := deployed(t)
			reachable(t, dir)
			chmod(0o755, ".")(t, filepath.Join(dir, "functions"))
			chmod(0o644, "../functions.env")(t, filepath.Join(dir, "functions"))
			if err := os.Chown(filepath.Join(dir, "functions", "auto-backup", payload.TokensFile), nobody, nobody); err != nil {
				t.Fatal(err)
			}
			c.arrange(t, filepath.Join(dir, "functions"))
			before := tree(t, dir)
			var err error
			unprivileged(t, func() { err = operations[c.operation](t.Context(), p) })
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v", err)
			}
			if after := tree(t, dir); !maps.Equal(after, before) {
				t.Errorf("it left %v of %v", after, before)
			}
		})
	}
}

// TestMayWrite proves that a directory which this user may not write is found by
// looking, and that the error names its argument.
func TestMayWrite(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make files that the tests themselves may not touch")
	}
	for _, c := range []struct {
		functions, env    fs.FileMode
		function, secrets string
	}{
		{0o777, 0o777, "", ""},
		{0o755, 0o777, "`functions_dir`", "`functions_dir`"},
		{0o777, 0o755, "", "`env_file`"},
	} {
		p, dir := deployed(t)
		reachable(t, dir)
		before := tree(t, dir)
		if err := errors.Join(os.Chmod(filepath.Join(dir, "functions"), c.functions), os.Chmod(dir, c.env)); err != nil {
			t.Fatal(err)
		}
		var function, secrets error
		unprivileged(t, func() {
			function, secrets = p.MayWriteFunctions(t.Context(), ""), p.MayWriteSecrets(t.Context(), "")
		})
		refused := func(got error, argument string) bool {
			if argument == "" {
				return got == nil
			}
			return errors.Is(got, fs.ErrPermission) && strings.Contains(got.Error(), argument)
		}
		if !refused(function, c.function) || !refused(secrets, c.secrets) {
			t.Errorf("functions %o, env %o: %v and %v", c.functions, c.env, function, secrets)
		}
		if after := tree(t, dir); !maps.Equal(after, before) {
			t.Errorf("it left %v of %v", after, before)
		}
	}
}

// TestOwnerCannotBeKept proves that a file of another user is not replaced by
// one of this user's, and that one which differs in its group alone is.
func TestOwnerCannotBeKept(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	for uid, replaced := range map[int]bool{0: false, nobody: true} {
		dir := t.TempDir()
		reachable(t, dir)
		file := filepath.Join(dir, "file")
		if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(file, nil, 0o600), os.Chown(file, uid, 0)); err != nil {
			t.Fatal(err)
		}
		var err error
		unprivileged(t, func() { err = replaceFile(file, []byte("x"), 0o600) })
		info, statErr := os.Stat(file)
		if statErr != nil {
			t.Fatal(statErr)
		}
		if (err == nil) != replaced || (info.Size() == 1) != replaced {
			t.Errorf("a file of user %d: %v, %d bytes", uid, err, info.Size())
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the directory holds %v: %v", entries, err)
		}
	}
}

// TestTokensOwner proves that a new file of tokens belongs to the user who owns the
// functions directory, as whom the runtime may run, and that one which was given to
// another user stays that user's, through a new token and a new deployment.
func TestTokensOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	p, dir := setup(t, Config{})
	functions := filepath.Join(dir, "functions")
	if err := os.Chown(functions, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(functions, "auto-backup", payload.TokensFile)
	check := func(after string, uid uint32) {
		t.Helper()
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != uid || info.Mode().Perm() != 0o600 {
			t.Errorf("after %s the tokens belong to %d, and the mode is %v", after, stat.Uid, info.Mode())
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	deploy := func() error {
		_, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "x", payload.TokensFile: "{}\n"}))
		return err
	}
	do(p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne))
	check("the first token", nobody)
	do(deploy())
	check("the first deployment", nobody)
	do(os.Chown(file, 1234, 1234))
	do(p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenTwo))
	check("another token", 1234)
	do(deploy())
	check("another deployment", 1234)
	do(p.DeleteFunction(t.Context(), "", "auto-backup"))
	do(deploy())
	check("a deployment without a token", nobody)
}

// TestMissingParts proves what is said of a function that is not there, that is
// half there, and whose tokens are gone.
func TestMissingParts(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	if _, err := p.FunctionSource(t.Context(), "", "auto-backup"); !errors.Is(err, supabase.ErrNotFound) {
		t.Errorf("no function: %v", err)
	}
	entry := filepath.Join(dir, "functions", "auto-backup", "index.ts")
	if err := os.MkdirAll(entry, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := p.FunctionSource(t.Context(), "", "auto-backup"); err == nil || errors.Is(err, supabase.ErrNotFound) {
		t.Errorf("a directory as entry point: %v", err)
	}
	if err := os.RemoveAll(filepath.Dir(entry)); err != nil {
		t.Fatal(err)
	}
	first, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "x", payload.TokensFile: "{}\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(entry), payload.TokensFile)); err != nil {
		t.Fatal(err)
	}
	if f := backupFunction(t, p); f.ID != first.ID || f.EzbrSHA256 == first.EzbrSHA256 {
		t.Errorf("that the tokens are gone does not show: %+v", f)
	}
}

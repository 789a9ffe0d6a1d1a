package selfhosted

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// setup creates a functions directory with a router and a function that the
// provider does not manage, and an env file with a line of its own.
func setup(t *testing.T, config Config) (*Project, string) {
	t.Helper()
	dir := t.TempDir()
	config.FunctionsDir, config.EnvFile = filepath.Join(dir, "functions"), filepath.Join(dir, "functions.env")
	for name, content := range map[string]string{
		"functions/main/index.ts": "router", "functions/hello/index.ts": "hello", "functions/hello/data/x.bin": "\x00\xff", "functions.env": "OTHER=1\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return New(config), dir
}

// tree returns the content of every file below a directory, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(relative)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func deployment(files map[string]string) supabase.Deployment {
	d := supabase.Deployment{Slug: "auto-backup", Name: "marker", Entrypoint: "supabase/functions/auto-backup/index.ts", Files: map[string][]byte{}}
	for name, content := range files {
		d.Files["supabase/functions/auto-backup/"+name] = []byte(content)
	}
	return d
}

// backupFunction returns the deployed function.
func backupFunction(t *testing.T, p *Project) supabase.Function {
	t.Helper()
	functions, err := p.ListFunctions(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range functions {
		if f.Slug == "auto-backup" {
			return f
		}
	}
	return supabase.Function{}
}

// digests returns the listed secrets.
func digests(t *testing.T, p *Project) map[string]string {
	t.Helper()
	secrets, err := p.ListSecrets(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range secrets {
		found[s.Name] = s.Digest
	}
	return found
}

// Two tokens and their SHA-256 digests.
const (
	tokenOne  = "one-kJ3vQ0x8Zl5mN2bR7cT4wY9uE1aS6dF-gH_iO0p"
	tokenTwo  = "two-Zx81NsPqTfVbYcWd-RmLk2JhGu6_EoIa0Q3t7B9"
	digestOne = "563e8440e99abc15c00d222d109777f05ad8fe4aad78b908a5f9de9fd0980e28"
	digestTwo = "c3045c2ff562044efb23979c46dc09fa3fda3543b94952b196a5d8f30c789519"
)

// TestDeployment proves the life of a function: its files are written with an
// ownership marker, the same source has the same revision, an edited and a
// missing file are noticed and an additional one is not, redeploying removes the
// additional file and keeps ID and tokens, deleting leaves nothing, and nothing
// that the provider does not manage is ever changed.
func TestDeployment(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	before := tree(t, dir)
	source := map[string]string{"index.ts": "entry", "lib/a.ts": "a", payload.TokensFile: "{}\n"}
	if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); err != nil {
		t.Fatal(err)
	}
	if f := backupFunction(t, p); f.Slug != "" {
		t.Errorf("tokens without code are listed as the function %+v", f)
	}
	first, err := p.DeployFunction(t.Context(), "", deployment(source))
	if err != nil {
		t.Fatal(err)
	}
	if f := backupFunction(t, p); f != first || f.Name != "marker" || f.Status != "ACTIVE" || f.ID == "" || f.EzbrSHA256 == "" || f.VerifyJWT {
		t.Errorf("listed is %+v, deployed was %+v", f, first)
	}
	files := tree(t, filepath.Join(dir, "functions", "auto-backup"))
	if files["index.ts"] != "entry" || files["lib/a.ts"] != "a" || !strings.Contains(files[payload.TokensFile], tokenOne) || len(files) != 4 {
		t.Errorf("the files are %v", files)
	}
	read := func() map[string]string {
		t.Helper()
		s, err := p.FunctionSource(t.Context(), "", "auto-backup")
		if err != nil || s.Entrypoint != "index.ts" {
			t.Fatal(s.Entrypoint, err)
		}
		found := map[string]string{}
		for name, content := range s.Files {
			found[name] = string(content)
		}
		return found
	}
	if got := read(); !maps.Equal(got, source) {
		t.Errorf("read back is %v", got)
	}

	function := filepath.Join(dir, "functions", "auto-backup")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(function, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("notes.txt", "mine")
	if f := backupFunction(t, p); f.EzbrSHA256 != first.EzbrSHA256 {
		t.Error("a file that nothing imports changes the revision")
	}
	write("lib/a.ts", "tampered")
	if f := backupFunction(t, p); f.EzbrSHA256 == first.EzbrSHA256 || read()["lib/a.ts"] != "tampered" {
		t.Error("an edit is not noticed")
	}
	if err := os.Remove(filepath.Join(function, "lib/a.ts")); err != nil {
		t.Fatal(err)
	}
	if _, ok := read()["lib/a.ts"]; ok {
		t.Error("a missing file is not noticed")
	}
	second, err := p.DeployFunction(t.Context(), "", deployment(source))
	if err != nil || second != first {
		t.Errorf("deployed again it is %+v and was %+v: %v", second, first, err)
	}
	if files := tree(t, function); len(files) != 4 || !strings.Contains(files[payload.TokensFile], tokenOne) {
		t.Errorf("after deploying again the files are %v", files)
	}
	if info, err := os.Stat(filepath.Join(function, payload.TokensFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after deploying again others can read the tokens: %v, %v", info.Mode(), err)
	}
	if err := p.DeleteFunction(t.Context(), "", "auto-backup"); err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteFunction(t.Context(), "", "auto-backup"); !errors.Is(err, supabase.ErrNotFound) {
		t.Errorf("a second deletion: %v", err)
	}
	if after := tree(t, dir); !maps.Equal(after, before) {
		t.Errorf("what is left is %v, there was %v", after, before)
	}
}

// TestForeignFunctions proves that a function without the marker, or with a
// spoilt one, is listed as somebody else's and is never deleted, and that the
// router and what lies outside cannot be written at all.
func TestForeignFunctions(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	before := tree(t, dir)
	if err := p.DeleteFunction(t.Context(), "", "hello"); err == nil || errors.Is(err, supabase.ErrNotFound) {
		t.Errorf("somebody else's function is deleted: %v", err)
	}
	if err := p.DeleteFunction(t.Context(), "", "../functions"); err == nil {
		t.Error("a path is accepted as a function")
	}
	for _, d := range []supabase.Deployment{
		{Slug: "main", Entrypoint: "index.ts", Files: map[string][]byte{"index.ts": nil}},
		{Slug: "../x", Entrypoint: "index.ts", Files: map[string][]byte{"index.ts": nil}},
		deployment(map[string]string{"index.ts": "", "../_shared/x.ts": ""}),
		deployment(map[string]string{"index.ts": "", "../../../../x.ts": ""}),
		deployment(map[string]string{"index.ts": "", markerFile: "{}"}),
		{Slug: "auto-backup", Entrypoint: "main.ts", Files: map[string][]byte{"main.ts": nil}},
	} {
		if _, err := p.DeployFunction(t.Context(), "", d); err == nil {
			t.Errorf("%s with %v is deployed", d.Slug, slices.Collect(maps.Keys(d.Files)))
		}
	}
	if after := tree(t, dir); !maps.Equal(after, before) {
		t.Errorf("what is left is %v, there was %v", after, before)
	}
	for _, spoilt := range []string{"", "{}", `{"managed_by":"somebody"}`, `{"managed_by":"` + payload.Owner + `"}`} {
		if err := os.WriteFile(filepath.Join(dir, "functions/hello", markerFile), []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		functions, err := p.ListFunctions(t.Context(), "")
		if err != nil || len(functions) != 2 || functions[0].Slug != "hello" || functions[0].ID != "" || functions[0].Name != "hello" {
			t.Errorf("with the marker %q the functions are %+v: %v", spoilt, functions, err)
		}
	}
}

// TestInterruptedDeployment proves that the leftovers of a killed run are not
// listed as functions, and are removed by the next deployment.
func TestInterruptedDeployment(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	for _, leftover := range []string{".auto-backup.new", ".auto-backup.old"} {
		if err := os.MkdirAll(filepath.Join(dir, "functions", leftover), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "functions", leftover, "index.ts"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if functions, err := p.ListFunctions(t.Context(), ""); err != nil || len(functions) != 2 {
		t.Errorf("the functions are %+v: %v", functions, err)
	}
	for range 2 { // a new function, and its replacement
		if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "whole"})); err != nil {
			t.Fatal(err)
		}
	}
	for name := range tree(t, filepath.Join(dir, "functions")) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestTokens proves the two places of a token: beside the code it is in a file that
// only its owner can read, in the environment it is a variable; a token that moves is
// removed from its former place; and a secret whose name looks like a token's is a
// variable.
func TestTokens(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne))
	do(p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN_NEXT", tokenTwo))
	do(p.SetSecrets(t.Context(), "", map[string]string{"GITHUB_TOKEN": tokenTwo}))
	want := map[string]string{"AUTO_BACKUP_TOKEN": digestOne, "AUTO_BACKUP_TOKEN_NEXT": digestTwo, "GITHUB_TOKEN": digestTwo}
	got := digests(t, p)
	delete(got, "OTHER")
	if !maps.Equal(got, want) {
		t.Errorf("listed are %v", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "functions", "auto-backup", payload.TokensFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the tokens: %v, %v", info.Mode(), err)
	}
	do(p.DeleteToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN_NEXT"))

	environment := New(Config{FunctionsDir: p.config.FunctionsDir, EnvFile: p.config.EnvFile, TokensInEnvironment: true})
	if got := digests(t, environment)["AUTO_BACKUP_TOKEN"]; got != digestOne {
		t.Errorf("a token in the other place is listed as %q", got)
	}
	do(environment.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenTwo))
	if text := tree(t, dir)["functions.env"]; text != "OTHER=1\nGITHUB_TOKEN="+tokenTwo+"\nAUTO_BACKUP_TOKEN="+tokenTwo+"\n" {
		t.Errorf("the env file holds %q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "functions", "auto-backup")); err == nil {
		t.Error("the token's former place is left")
	}
	do(p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne))
	do(p.DeleteSecrets(t.Context(), "", []string{"AUTO_BACKUP_TOKEN", "AUTO_BACKUP_TOKEN_NEXT", "GITHUB_TOKEN", "NOWHERE"}))
	if text := tree(t, dir); len(text) != 4 || text["functions.env"] != "OTHER=1\n" {
		t.Errorf("what is left is %v", text)
	}
	bare := New(Config{FunctionsDir: p.config.FunctionsDir})
	if err := bare.SetSecrets(t.Context(), "", map[string]string{"X": "canary"}); !errors.Is(err, ErrNoEnvFile) || strings.Contains(err.Error(), "canary") {
		t.Errorf("without an env file: %v", err)
	}
	do(bare.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne))
	do(bare.DeleteSecrets(t.Context(), "", []string{"AUTO_BACKUP_TOKEN", "X"}))
}

// TestParallelWrites proves that several backups of one project that are written
// at the same time lose none of their secrets and tokens.
func TestParallelWrites(t *testing.T) {
	t.Parallel()
	p, _ := setup(t, Config{})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := p.SetSecrets(t.Context(), "", map[string]string{fmt.Sprintf("SECRET_%d", i): "one"}); err != nil {
				t.Error(err)
			}
			if err := p.SetToken(t.Context(), "auto-backup", fmt.Sprintf("T%d_TOKEN", i), tokenTwo); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if found := digests(t, p); len(found) != 41 {
		t.Errorf("%d secrets are left of 41: %v", len(found), found)
	}
}

// TestSettleWaits proves that without a restart command Settle waits for the end
// of the last instance of former code, and for nothing else: not after a first
// deployment, nor for a token that is revoked or only gets another name.
func TestSettleWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := setup(t, Config{WorkerLifetime: time.Minute})
		settle := func(what string, want time.Duration) {
			t.Helper()
			begin := time.Now()
			if err := p.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(begin); waited != want {
				t.Errorf("after %s it waits %s, want %s", what, waited, want)
			}
		}
		token := func(name, value string) {
			t.Helper()
			if err := p.SetToken(t.Context(), "auto-backup", name, value); err != nil {
				t.Fatal(err)
			}
		}
		deploy := func(source string) {
			t.Helper()
			if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": source})); err != nil {
				t.Fatal(err)
			}
		}
		settle("nothing", 0)
		token("AUTO_BACKUP_TOKEN", tokenOne)
		deploy("first")
		settle("a first deployment", 0)
		token("AUTO_BACKUP_TOKEN_NEXT", tokenTwo)
		time.Sleep(20 * time.Second)
		settle("a new token, 20 s ago", 40*time.Second)
		token("AUTO_BACKUP_TOKEN", tokenTwo)
		if err := p.DeleteToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN_NEXT"); err != nil {
			t.Fatal(err)
		}
		settle("the end of a rotation", 0)
		deploy("second")
		settle("another deployment", time.Minute)
		settle("nothing since", 0)

		deploy("third")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted it ends with %v", err)
		}
		settle("an interruption", 59*time.Second)
		if err := p.SetSecrets(t.Context(), "", map[string]string{"X": "1"}); err != nil {
			t.Fatal(err)
		}
		settle("a secret", 0)
		if !p.Unsettled() || p.Restarts() {
			t.Error("it is not reported that the runtime must be recreated")
		}
	})
}

// TestSettleRestarts proves that the restart command runs once for all changes
// before it and not again without one, sees the current files, and that its
// failure is reported without the values of the env file and is repeated.
func TestSettleRestarts(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	log, broken := filepath.Join(dir, "log"), filepath.Join(dir, "broken")
	script := fmt.Sprintf(`cat %q >> %q; [ ! -e %q ] || { cat %[1]q; echo "no such service"; exit 3; }`, filepath.Join(dir, "functions.env"), log, broken)
	p = New(Config{FunctionsDir: p.config.FunctionsDir, EnvFile: p.config.EnvFile, RestartCommand: []string{"/bin/sh", "-c", script}})
	runs := func(want string) {
		t.Helper()
		if text := tree(t, dir)["log"]; text != want {
			t.Errorf("the command saw %q, want %q", text, want)
		}
	}
	settle := func() error {
		t.Helper()
		return p.Settle(t.Context())
	}
	set := func(value string) {
		t.Helper()
		if err := p.SetSecrets(t.Context(), "", map[string]string{"SECRET": value}); err != nil {
			t.Fatal(err)
		}
	}
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	runs("")
	set("first")
	set("canary")
	if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "x"})); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(settle(), settle()); err != nil || p.Unsettled() {
		t.Fatal(err)
	}
	runs("OTHER=1\nSECRET=canary\n")
	set("canary") // as it is
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	runs("OTHER=1\nSECRET=canary\n")

	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	set("canary-2")
	err := settle()
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "no such service") || !strings.Contains(err.Error(), "status 3") {
		t.Errorf("a broken command: %v", err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if err := settle(); err != nil {
		t.Errorf("repaired: %v", err)
	}
	runs("OTHER=1\nSECRET=canary\nOTHER=1\nSECRET=canary-2\nOTHER=1\nSECRET=canary-2\n")
}

// TestNoDirectory proves that a missing functions directory is reported with the
// argument and what it must be, and is not created.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "functions")
	p := New(Config{FunctionsDir: missing})
	if _, err := p.ListFunctions(t.Context(), ""); err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "`functions_dir` in `self_hosted` must be the directory that the runtime's container has as /home/deno/functions") {
		t.Errorf("listing: %v", err)
	}
	if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "x"})); err == nil {
		t.Error("it is deployed")
	}
	if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); err == nil {
		t.Error("a token is set")
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the directory was created")
	}
}

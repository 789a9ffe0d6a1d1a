//go:build unix

package selfhosted

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// operations are all methods that read or write files, by their names.
var operations = map[string]func(ctx context.Context, p *Project) error{
	"ListFunctions": func(ctx context.Context, p *Project) error {
		_, err := p.ListFunctions(ctx, "")
		return err
	},
	"FunctionSource": func(ctx context.Context, p *Project) error {
		_, err := p.FunctionSource(ctx, "", "auto-backup")
		return err
	},
	"DeployFunction": func(ctx context.Context, p *Project) error {
		_, err := p.DeployFunction(ctx, "", deployment(map[string]string{"index.ts": "another entry"}))
		return err
	},
	"UpdateFunction": func(ctx context.Context, p *Project) error {
		name := "another name"
		_, err := p.UpdateFunction(ctx, "", "auto-backup", supabase.FunctionUpdate{Name: &name})
		return err
	},
	"DeleteFunction": func(ctx context.Context, p *Project) error { return p.DeleteFunction(ctx, "", "auto-backup") },
	"SetToken": func(ctx context.Context, p *Project) error {
		return p.SetToken(ctx, "auto-backup", "AUTO_BACKUP_TOKEN", "canary")
	},
	"DeleteToken": func(ctx context.Context, p *Project) error {
		return p.DeleteToken(ctx, "auto-backup", "AUTO_BACKUP_TOKEN")
	},
	"ListSecrets": func(ctx context.Context, p *Project) error {
		_, err := p.ListSecrets(ctx, "")
		return err
	},
	"SetSecrets": func(ctx context.Context, p *Project) error {
		return p.SetSecrets(ctx, "", map[string]string{"KEY": "canary"})
	},
	"DeleteSecrets": func(ctx context.Context, p *Project) error {
		return p.DeleteSecrets(ctx, "", []string{"AUTO_BACKUP_TOKEN", "OTHER"})
	},
}

// deployed is a project with a function, a token and an env file.
func deployed(t *testing.T) (*Project, string) {
	t.Helper()
	p, dir := setup(t, Config{})
	if _, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "entry", "lib/a.ts": "a"})); err != nil {
		t.Fatal(err)
	}
	if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// directory puts a directory in the place of a file, which then can be neither
// read nor replaced.
func directory(t *testing.T, file string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(file), os.Mkdir(file, 0o750)); err != nil {
		t.Fatal(err)
	}
}

// TestCanceled proves that no operation touches a file once its context is done.
func TestCanceled(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, dir := deployed(t)
			before := tree(t, dir)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := operation(ctx, p); !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
			if after := tree(t, dir); !maps.Equal(after, before) {
				t.Errorf("it left %v of %v", after, before)
			}
		})
	}
	p, _ := setup(t, Config{TokensInEnvironment: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.SetToken(ctx, "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); !errors.Is(err, context.Canceled) {
		t.Errorf("setting a token in the environment: %v", err)
	}
}

// TestUnreadable proves that what cannot be read is an error of every operation
// that needs it, and of no other one, and that nothing is lost by it.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file  string
		fails []string
	}{
		{"functions/auto-backup/" + markerFile, []string{"ListFunctions", "FunctionSource", "DeployFunction", "UpdateFunction", "DeleteFunction"}},
		{"functions/auto-backup/lib/a.ts", []string{"ListFunctions", "FunctionSource", "UpdateFunction"}},
		{"functions/auto-backup/" + payload.TokensFile, []string{"DeployFunction", "SetToken", "DeleteToken", "DeleteSecrets"}},
		{"functions.env", []string{"SetToken", "DeleteToken", "ListSecrets", "SetSecrets", "DeleteSecrets"}},
	} {
		for name, operation := range operations {
			t.Run(c.file+" "+name, func(t *testing.T) {
				t.Parallel()
				p, dir := deployed(t)
				directory(t, filepath.Join(dir, c.file))
				err := operation(t.Context(), p)
				if wanted := slices.Contains(c.fails, name); (err != nil) != wanted {
					t.Errorf("the error is %v; is one expected: %t", err, wanted)
				}
				if err != nil && (!strings.Contains(err.Error(), filepath.Base(c.file)) || strings.Contains(err.Error(), "canary")) {
					t.Errorf("the error does not name the file, or holds a secret: %v", err)
				}
				for left := range tree(t, dir) {
					if strings.Contains(left, ".new") {
						t.Errorf("%s is left", left)
					}
				}
			})
		}
	}
}

// TestNoFunctionsDirectory proves that nothing is written where the functions
// directory is missing or a file.
func TestNoFunctionsDirectory(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"missing", "a file"} {
		for name, operation := range operations {
			if name == "SetSecrets" {
				continue // it needs the env file alone
			}
			t.Run(what+" "+name, func(t *testing.T) {
				t.Parallel()
				p, dir := setup(t, Config{})
				functions := filepath.Join(dir, "functions")
				if err := os.RemoveAll(functions); err != nil {
					t.Fatal(err)
				}
				if what == "a file" {
					if err := os.WriteFile(functions, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				before := tree(t, dir)
				err := operation(t.Context(), p)
				// A token that is missing counts as deleted.
				gone := what == "missing" && (name == "DeleteToken" || name == "DeleteSecrets")
				if gone != (err == nil) {
					t.Errorf("the error is %v", err)
				}
				if err != nil && strings.Contains(err.Error(), ".new") {
					t.Errorf("it went on to write a file: %v", err)
				}
				if after := tree(t, dir); name != "DeleteSecrets" && !maps.Equal(after, before) {
					t.Errorf("it left %v", after)
				}
			})
		}
	}
	p, dir := setup(t, Config{})
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "functions")), os.WriteFile(filepath.Join(dir, "functions"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := p.DeployFunction(t.Context(), "", deployment(map[string]string{"index.ts": "x"}))
	if err == nil || strings.Contains(err.Error(), markerFile) {
		t.Errorf("the error is that of a marker: %v", err)
	}
}

// TestDiskFull proves that an operation which cannot write says so, and leaves
// every file as it was and none beside it: a half-written file could hold
// secrets. The disk is full for a process of its own, which may write no byte.
func TestDiskFull(t *testing.T) {
	const env = "SELFHOSTED_DISK_FULL"
	if os.Getenv(env) == "" {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		output, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--- PASS: TestDiskFull/SetToken") {
			t.Errorf("%v\n%s", err, output)
		}
		return
	}
	type prepared struct {
		project *Project
		dir     string
		before  map[string]string
	}
	all := map[string]prepared{}
	for name := range operations {
		p, dir := deployed(t)
		all[name] = prepared{p, dir, tree(t, dir)}
	}
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := errors.Join(
		syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit),
		syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Max: limit.Max}),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit) }) // for a coverage profile
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			err := operation(t.Context(), all[name].project)
			reads := slices.Contains([]string{"ListFunctions", "FunctionSource", "ListSecrets", "DeleteFunction"}, name)
			if reads != (err == nil) || err != nil && !errors.Is(err, syscall.EFBIG) {
				t.Errorf("the error is %v", err)
			}
			if after := tree(t, all[name].dir); name != "DeleteFunction" && !maps.Equal(after, all[name].before) {
				t.Errorf("it left %v of %v", after, all[name].before)
			}
			if entries, err := os.ReadDir(filepath.Join(all[name].dir, "functions")); err != nil || len(entries) > 3 {
				t.Errorf("it left %v, %v", entries, err)
			}
		})
	}
}

// TestReplaceFile proves that a file which cannot be replaced leaves nothing
// beside it, that a replaced one has the wanted mode, and that the error says
// what stood in the way.
func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	names := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return names
	}
	file := filepath.Join(dir, "file")
	for _, mode := range []fs.FileMode{0o600, 0o644} {
		if err := replaceFile(file, []byte("secret"), mode); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != mode {
			t.Errorf("the mode is %v, want %v: %v", info.Mode(), mode, err)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := errors.Join(os.Symlink("loop", loop), os.Mkdir(filepath.Join(dir, "directory"), 0o750)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"loop", "directory", "missing/file"} {
		if err := replaceFile(filepath.Join(dir, name), []byte("secret"), 0o600); err == nil {
			t.Errorf("%s is replaced", name)
		}
	}
	if got := names(); !slices.Equal(got, []string{"directory", "file", "loop"}) {
		t.Errorf("the directory holds %v", got)
	}
}

// TestOwner proves that a replaced file keeps its owner and group, each for
// itself. It takes root to give a file away.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	for _, owner := range [][2]int{{0, 0}, {1, 1}, {1, 0}, {0, 1}} {
		file := filepath.Join(t.TempDir(), "file")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chown(file, owner[0], owner[1]), replaceFile(file, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		is := info.Sys().(*syscall.Stat_t)
		if int(is.Uid) != owner[0] || int(is.Gid) != owner[1] || info.Size() != 1 {
			t.Errorf("a file of %v belongs to %d:%d", owner, is.Uid, is.Gid)
		}
	}
}

// TestReplaceDirectory proves that what cannot be replaced is an error.
func TestReplaceDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := replaceDirectory(path("dir"), path("missing"), path("aside")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing in the place of nothing: %v", err)
	}
	if err := os.Mkdir(path("fresh"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := replaceDirectory(path("dir"), path("fresh"), "."); err == nil {
		t.Error("a directory that cannot be put aside is not an error")
	}
	if err := replaceDirectory(path("dir"), path("fresh"), path("aside")); err != nil {
		t.Error(err)
	}
}

// TestHalfDeployed proves that a deployment which cannot be written whole leaves
// the former one and nothing else.
func TestHalfDeployed(t *testing.T) {
	t.Parallel()
	p, dir := deployed(t)
	before := tree(t, dir)
	for _, d := range []supabase.Deployment{
		deployment(map[string]string{"index.ts": "x", "a": "a file", "a/b.ts": "below it"}),
		{Slug: "auto-backup", Entrypoint: "/absolute/index.ts", Files: map[string][]byte{"relative/index.ts": nil}},
	} {
		if _, err := p.DeployFunction(t.Context(), "", d); err == nil {
			t.Errorf("%v is deployed", slices.Collect(maps.Keys(d.Files)))
		}
	}
	if after := tree(t, dir); !maps.Equal(after, before) {
		t.Errorf("it left %v of %v", after, before)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "functions")); err != nil || len(entries) != 3 {
		t.Errorf("the functions directory holds %v: %v", entries, err)
	}
}

// TestLaidOut proves what a deployment puts into its directory: a marker with
// the files in order, files that another user can read apart from the tokens, and no
// token's source where there was none.
func TestLaidOut(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	source := map[string]string{"index.ts": "entry", "lib/deep/a.ts": "a"}
	for _, name := range strings.Split("h g f e d c b a", " ") {
		source[name+".ts"] = name
	}
	f, err := p.DeployFunction(t.Context(), "", deployment(source))
	if err != nil {
		t.Fatal(err)
	}
	function := filepath.Join(dir, "functions", "auto-backup")
	text, err := os.ReadFile(filepath.Join(function, markerFile))
	if err != nil {
		t.Fatal(err)
	}
	var written map[string]any
	if err := json.Unmarshal(text, &written); err != nil {
		t.Fatal(err)
	}
	var files []any
	for _, name := range slices.Sorted(maps.Keys(source)) {
		files = append(files, name)
	}
	got, _ := written["files"].([]any)
	if !slices.Equal(got, files) || written["id"] != f.ID || written["managed_by"] != payload.Owner || len(written) != 4 {
		t.Errorf("the marker is %s", text)
	}
	if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); err != nil {
		t.Fatal(err)
	}
	if err := p.SetToken(t.Context(), "later", "LATER_TOKEN", tokenOne); err != nil {
		t.Fatal(err)
	}
	name := "another"
	if _, err := p.UpdateFunction(t.Context(), "", "auto-backup", supabase.FunctionUpdate{Name: &name}); err != nil {
		t.Fatal(err)
	}
	for _, slug := range []string{"auto-backup", "later"} {
		err = filepath.WalkDir(filepath.Join(dir, "functions", slug), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			mode := info.Mode().Perm()
			if entry.Name() == payload.TokensFile {
				if mode != 0o600 {
					t.Errorf("%s has the mode %v", name, mode)
				}
				return nil
			}
			if entry.IsDir() && mode&0o555 != 0o555 || !entry.IsDir() && (mode&0o444 != 0o444 || mode&0o111 != 0) {
				t.Errorf("%s has the mode %v", name, mode)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRevision proves that the revision tells any two sources apart, and that
// the import map is the first one that the runtime takes.
func TestRevision(t *testing.T) {
	t.Parallel()
	seen := map[string]map[string]string{}
	for _, source := range []map[string]string{
		{"index.ts": "a"}, {"index.ts": "b"}, {"index.ts": "a", "b.ts": ""}, {"index.ts": "a", "c.ts": ""},
		{"index.ts": "", "b.ts": "a"}, {"index.ts": "2:", "b.ts": "1"}, {"index.ts": "", "b.ts": "2:1"},
		{"index.ts": "a", "bc.ts": "d"}, {"index.ts": "a", "b.ts": "cd"}, {"index.ts": "a", "b.ts": "dc"},
	} {
		files := map[string][]byte{}
		for name, content := range source {
			files[name] = []byte(content)
		}
		digest := digestOf(files)
		if other, ok := seen[digest]; ok {
			t.Errorf("%v and %v are one revision", source, other)
		}
		seen[digest] = source
	}
	for _, c := range []struct{ files, want string }{
		{"", ""}, {"deno.json", "deno.json"}, {"import_map.json", "import_map.json"}, {"deno.jsonc", "deno.jsonc"},
		{"import_map.json deno.json", "deno.json"}, {"import_map.json deno.jsonc", "deno.jsonc"}, {"sub/deno.json", ""},
	} {
		p, _ := setup(t, Config{})
		source := map[string]string{"index.ts": "entry"}
		for _, name := range strings.Fields(c.files) {
			source[name] = "{}"
		}
		f, err := p.DeployFunction(t.Context(), "", deployment(source))
		if err != nil || f.ImportMapPath != c.want || backupFunction(t, p).ImportMapPath != c.want {
			t.Errorf("with %q the import map is %q, want %q: %v", c.files, f.ImportMapPath, c.want, err)
		}
	}
}

// TestForeignMarkers proves that a marker which another program wrote, or which
// leads out of the directory, gives no right to anything.
func TestForeignMarkers(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "functions", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := `{"managed_by":"` + payload.Owner + `","id":"1","name":"n","files":["index.ts","../main/index.ts"]}`
	put("hello/"+markerFile, `{"managed_by":"somebody","id":"1","name":"n","files":["index.ts"]}`)
	if err := p.DeleteFunction(t.Context(), "", "hello"); err == nil {
		t.Error("somebody else's function is deleted")
	}
	put("hello/"+markerFile, own)
	if read, err := p.FunctionSource(t.Context(), "", "hello"); err != nil || len(read.Files) != 1 || string(read.Files["index.ts"]) != "hello" {
		t.Errorf("read is %q: %v", read.Files, err)
	}
	put("main/"+markerFile, own)
	before := tree(t, dir)
	if err := p.DeleteFunction(t.Context(), "", "main"); err == nil {
		t.Error("the router is deleted")
	}
	if err := p.SetToken(t.Context(), "main", "MAIN_TOKEN", tokenOne); err == nil {
		t.Error("the router gets a token")
	}
	if after := tree(t, dir); !maps.Equal(after, before) {
		t.Errorf("it left %v of %v", after, before)
	}
}

// TestSpoiltTokens proves that only what has the form of a token counts as one, such as
// no digest of one, and only beside a function: what a killed deletion left does not
// count.
func TestSpoiltTokens(t *testing.T) {
	t.Parallel()
	p, dir := deployed(t)
	put := func(slug, text string) {
		t.Helper()
		file := filepath.Join(dir, "functions", slug, payload.TokensFile)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("auto-backup", `{"A_TOKEN":"`+tokenOne+`","B_TOKEN":"one","C_TOKEN":1,"D_TOKEN":"`+digestOne+`","F_TOKEN":"`+tokenOne+`0"}`)
	put(".auto-backup.old", `{"E_TOKEN":"`+tokenOne+`"}`)
	put("hello", `{"HELLO":"`+tokenTwo+`","_TOKEN":"`+tokenTwo+`"}`)
	got := digests(t, p)
	delete(got, "OTHER")
	if want := map[string]string{"A_TOKEN": digestOne, "HELLO": digestTwo, "_TOKEN": digestTwo}; !maps.Equal(got, want) {
		t.Errorf("listed are %v", got)
	}
	// No token is called HELLO, so a variable of that name is meant.
	if err := p.DeleteSecrets(t.Context(), "", []string{"HELLO"}); err != nil || digests(t, p)["HELLO"] != digestTwo {
		t.Errorf("a name that no token has was taken for one: %v", err)
	}
	if err := p.DeleteFunction(t.Context(), "", "auto-backup"); err != nil {
		t.Errorf("what a killed deletion left is in the way: %v", err)
	}
	put("hello", "spoilt")
	if got := digests(t, p); len(got) != 1 {
		t.Errorf("listed are %v", got)
	}
}

// TestTokenInBothHomes proves that of two values of a token the one counts that
// is where tokens are kept.
func TestTokenInBothHomes(t *testing.T) {
	t.Parallel()
	p, dir := deployed(t)
	if err := os.WriteFile(filepath.Join(dir, "functions.env"), []byte("AUTO_BACKUP_TOKEN="+tokenTwo+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := digests(t, p); !maps.Equal(got, map[string]string{"AUTO_BACKUP_TOKEN": digestOne}) {
		t.Errorf("beside the code: %v", got)
	}
	p.config.TokensInEnvironment = true
	if got := digests(t, p); !maps.Equal(got, map[string]string{"AUTO_BACKUP_TOKEN": digestTwo}) {
		t.Errorf("in the environment: %v", got)
	}
}

// TestNothingToWrite proves that what is as it should be is not written again:
// a new file would cost a restart of the runtime.
func TestNothingToWrite(t *testing.T) {
	t.Parallel()
	p, dir := deployed(t)
	files := []string{"functions.env", "functions/auto-backup/" + payload.TokensFile, "functions/auto-backup/" + markerFile}
	stat := func() (all []os.FileInfo) {
		t.Helper()
		for _, file := range files {
			info, err := os.Stat(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, info)
		}
		return all
	}
	before := stat()
	name := "marker"
	_, err := p.UpdateFunction(t.Context(), "", "auto-backup", supabase.FunctionUpdate{Name: &name})
	if err := errors.Join(
		err,
		p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne),
		p.SetSecrets(t.Context(), "", map[string]string{"OTHER": "1"}),
		p.DeleteSecrets(t.Context(), "", []string{"NOWHERE", "NOWHERE_TOKEN"}),
	); err != nil {
		t.Fatal(err)
	}
	for i, after := range stat() {
		if !os.SameFile(before[i], after) {
			t.Errorf("%s was written again", files[i])
		}
	}
	if p.Unsettled() {
		t.Error("a restart is wanted")
	}
	bare := New(Config{FunctionsDir: p.config.FunctionsDir})
	if err := bare.SetSecrets(t.Context(), "", nil); err != nil {
		t.Errorf("no secrets without an env file: %v", err)
	}
	if err := p.SetSecrets(t.Context(), "", map[string]string{"A": "fine", "B": "car\rriage"}); err == nil || digests(t, p)["A"] != "" {
		t.Errorf("a value that cannot be written: %v", err)
	}
}

// TestWriteEnvironmentFails proves that an env file which cannot be written is
// an error of what should change it.
func TestWriteEnvironmentFails(t *testing.T) {
	t.Parallel()
	p, dir := setup(t, Config{})
	p.config.EnvFile = filepath.Join(dir, "missing", "functions.env")
	for _, environment := range []bool{false, true} {
		p.config.TokensInEnvironment = environment
		err := p.SetSecrets(t.Context(), "", map[string]string{"KEY": "canary"})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("the error is %v", err)
		}
	}
	if err := p.SetToken(t.Context(), "auto-backup", "AUTO_BACKUP_TOKEN", tokenOne); err == nil {
		t.Error("a token is set in an env file that cannot be written")
	}
	if p.Unsettled() {
		t.Error("a restart is wanted")
	}
}

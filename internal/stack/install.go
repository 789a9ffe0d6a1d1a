package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
	hcinstall "github.com/hashicorp/hc-install"
	"github.com/hashicorp/hc-install/fs"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/hashicorp/hc-install/src"
)

// ErrNotInstalled is the error for a missing program that Install installs.
var ErrNotInstalled = errors.New("not installed")

const (
	oldestPostgres = 15
	newestPostgres = 99 // what Debian may come to have
	installCommand = "make install"
	// envPostgres names the environment variable with the major version of
	// PostgreSQL to run, for example 17. Without it the newest one is run.
	envPostgres = "STACK_POSTGRES_VERSION"
	// envPostgresDir names the environment variable with a folder in which another
	// PostgreSQL is, as usr/lib/postgresql/VERSION and usr/share/postgresql/VERSION.
	envPostgresDir = "STACK_POSTGRES_DIR"
	// envDeno names the environment variable with the version of Deno to run, one of
	// those that are pinned in deno and deno/platform, or "platform" for the second.
	// Without it the first is run.
	envDeno          = "STACK_DENO_VERSION"
	terraformVersion = "1.11.4"
	terraformOldest  = "1.11.0"
)

// PostgresBin finds the directory of PostgreSQL's programs, of the newest version that
// has pg_cron or the one that STACK_POSTGRES_VERSION names, of the system or in the
// folder that STACK_POSTGRES_DIR names. An error wraps ErrNotInstalled and names the
// command that installs it.
func PostgresBin() (string, error) { return newInstaller(nil).findPostgres() }

// Deno finds Deno's program, of the version that STACK_DENO_VERSION names or else the
// current one. An error wraps ErrNotInstalled and names the command that installs it.
func Deno() (string, error) { return newInstaller(nil).findDeno() }

// Install installs what is missing of PostgreSQL, pg_cron, PgBouncer and GnuPG (from
// Debian's packages, which needs root or sudo), both versions of Deno (from npm) and Terraform (from
// HashiCorp). If STACK_POSTGRES_VERSION names a version for which this machine's
// repositories have no pg_cron, it comes from a later Debian and into a folder; see
// installLater. Install writes to log what it does.
func Install(ctx context.Context, log io.Writer) error { return newInstaller(log).install(ctx) }

// Terraform returns a Terraform program: the one that TF_ACC_TERRAFORM_PATH
// names, or one on PATH that is new enough, or else one in the user's cache
// directory, which is fetched when it is not there yet.
func Terraform(ctx context.Context) (path string, err error) {
	if path := os.Getenv("TF_ACC_TERRAFORM_PATH"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("TF_ACC_TERRAFORM_PATH: %w", err)
		}
		return path, nil
	}
	constraint, err := version.NewConstraint(">= " + terraformOldest)
	if err != nil {
		return "", err
	}
	onPath := &fs.Version{Product: product.Terraform, Constraints: constraint}
	if path, err := hcinstall.NewInstaller().Ensure(ctx, []src.Source{onPath}); err == nil {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no Terraform %s or newer on PATH, and there is no directory to keep one in: %w", terraformOldest, err)
	}
	return cachedTerraform(ctx, filepath.Join(cache, "terraform-provider-aimindset"))
}

// TerraformVersion returns the version of a program that Terraform returned, and whether
// it is OpenTofu, which has its own registry of providers.
func TerraformVersion(ctx context.Context, path string) (_ *version.Version, openTofu bool, err error) {
	output, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return nil, false, fmt.Errorf("%s version: %w", path, err)
	}
	// Warnings about the CLI's configuration come first.
	for line := range strings.Lines(string(output)) {
		product, number, found := strings.Cut(strings.TrimSpace(line), " v")
		if !found || product != "Terraform" && product != "OpenTofu" {
			continue
		}
		v, err := version.NewVersion(number)
		if err != nil {
			return nil, false, fmt.Errorf("%s version: %w", path, err)
		}
		return v, product == "OpenTofu", nil
	}
	return nil, false, fmt.Errorf("%s version printed no version of Terraform or OpenTofu:\n%s", path, output)
}

// cachedTerraform returns the program in a directory, and fetches it if need be.
func cachedTerraform(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "terraform-"+terraformVersion)
	path := filepath.Join(dir, "terraform")
	if _, err := exec.LookPath(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", err
	}
	// Other processes may do the same, so it is fetched elsewhere and then moved.
	partial, err := os.MkdirTemp(cache, "terraform-partial-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(partial) }()
	fetch := &releases.ExactVersion{
		Product:    product.Terraform,
		Version:    version.Must(version.NewVersion(terraformVersion)),
		InstallDir: partial,
	}
	if _, err := hcinstall.NewInstaller().Ensure(ctx, []src.Source{fetch}); err != nil {
		return "", fmt.Errorf("no Terraform %s or newer on PATH, and fetching %s failed; name one in TF_ACC_TERRAFORM_PATH, or run %q with access to the network: %w",
			terraformOldest, terraformVersion, installCommand, err)
	}
	if err := os.Rename(partial, dir); err != nil {
		if _, lookErr := exec.LookPath(path); lookErr != nil {
			return "", err
		}
	}
	return path, nil
}

// installer has the paths on a machine.
type installer struct {
	postgres string // the directory that holds one directory for each version
	share    string // the same, for files other than programs
	common   string // the settings by which Debian makes a cluster
	// pgbouncer is the pooler's program, a Debian package.
	pgbouncer string
	// gnupg is the program by which a test signs a release, a Debian package.
	gnupg   string
	deno    string // where package.json of Deno is; empty if it is not found
	version string // the major version of PostgreSQL to take; the newest if empty
	dir     string // the folder to take it from; the system if empty
	// later is the folder with the installation of a later Debian (see installLater),
	// which is found only if its version is asked for.
	later       string
	denoVersion string // the version of Deno to take, or "platform"; the current one if empty
	root        bool   // whether this process is root's
	log         io.Writer
}

func newInstaller(log io.Writer) *installer {
	return &installer{
		postgres:    "/usr/lib/postgresql",
		share:       "/usr/share/postgresql",
		common:      "/etc/postgresql-common/createcluster.conf",
		pgbouncer:   "/usr/sbin/pgbouncer",
		gnupg:       "/usr/bin/gpg",
		deno:        denoDir(),
		version:     os.Getenv(envPostgres),
		dir:         os.Getenv(envPostgresDir),
		later:       laterDir(),
		denoVersion: os.Getenv(envDeno),
		root:        os.Geteuid() == 0,
		log:         orDiscard(log),
	}
}

// denoDir finds this package's directory deno, where its source was compiled or, if
// that does not exist, in the module of the working directory.
func denoDir() string {
	const below = "internal/stack/deno"
	if _, file, _, ok := runtime.Caller(0); ok {
		if dir := filepath.Join(filepath.Dir(file), "deno"); exists(filepath.Join(dir, "package.json")) {
			return dir
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "go.mod")) && exists(filepath.Join(dir, below, "package.json")) {
			return filepath.Join(dir, below)
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing returns an error for what the parts of a stack need and this machine lacks.
func (i *installer) missing(parts Parts) error {
	var errs []error
	if parts&Database != 0 {
		_, err := i.findPostgres()
		errs = append(errs, err)
	}
	if parts&Functions != 0 {
		_, err := i.findDeno()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// findPostgres finds the newest PostgreSQL with pg_cron, or the wanted version.
func (i *installer) findPostgres() (string, error) {
	oldest, newest, err := i.wantedPostgres()
	if err != nil {
		return "", err
	}
	programs, share := i.postgres, i.share
	if i.dir != "" {
		programs, share = filepath.Join(i.dir, postgresPrograms), filepath.Join(i.dir, postgresShare)
	}
	for v := newest; v >= oldest; v-- {
		if bin, ok := postgresBelow(programs, share, v); ok {
			return bin, nil
		}
	}
	if i.dir != "" {
		return "", fmt.Errorf("%s is %q, in which there is no PostgreSQL %d or newer with pg_cron: %s/VERSION/bin/postgres, %[4]s/VERSION/lib/pg_cron.so and %s/VERSION/extension/pg_cron.control",
			envPostgresDir, i.dir, oldest, postgresPrograms, postgresShare)
	}
	if i.version != "" {
		if bin, ok := postgresBelow(filepath.Join(i.later, postgresPrograms), filepath.Join(i.later, postgresShare), oldest); ok {
			return bin, nil
		}
	}
	which := fmt.Sprintf("%d or newer", oldest)
	if i.version != "" {
		which = i.version + ", which " + envPostgres + " asks for,"
	}
	return "", fmt.Errorf("no PostgreSQL %s with pg_cron in %s (Debian's postgresql-%d and postgresql-%d-cron): %w: run %q",
		which, i.postgres, oldest, oldest, ErrNotInstalled, installCommand)
}

// postgresBelow returns the directory of the programs of a version, if it is complete.
func postgresBelow(programs, share string, v int) (bin string, ok bool) {
	dir := filepath.Join(programs, strconv.Itoa(v))
	return filepath.Join(dir, "bin"), exists(filepath.Join(dir, "bin", "postgres")) &&
		exists(filepath.Join(dir, "lib", "pg_cron.so")) &&
		exists(filepath.Join(share, strconv.Itoa(v), "extension", "pg_cron.control"))
}

// wantedPostgres returns the oldest and the newest version that may be taken.
func (i *installer) wantedPostgres() (oldest, newest int, err error) {
	if i.version == "" {
		return oldestPostgres, newestPostgres, nil
	}
	v, err := strconv.Atoi(i.version)
	if err != nil || v < oldestPostgres || v > newestPostgres {
		return 0, 0, fmt.Errorf("%s is %q; it must be a major version, %d or newer", envPostgres, i.version, oldestPostgres)
	}
	return v, v, nil
}

// findDeno finds the wanted version of Deno, one of those that are pinned.
func (i *installer) findDeno() (string, error) {
	if i.deno == "" {
		return "", errors.New("no Deno: internal/stack/deno is not found: run from inside the module")
	}
	var pinned []string
	for _, dir := range i.denoDirs() {
		version, err := pinnedDeno(dir)
		if err != nil {
			return "", err
		}
		if i.denoVersion == "" || i.denoVersion == version || i.denoVersion == filepath.Base(dir) {
			return denoIn(dir)
		}
		pinned = append(pinned, version)
	}
	return "", fmt.Errorf("%s is %q; it must be %s or platform", envDeno, i.denoVersion, strings.Join(pinned, ", "))
}

// denoDirs returns the directories with a package.json that pins a Deno: the current
// one, and the one that Supabase's platform embeds.
func (i *installer) denoDirs() []string { return []string{i.deno, filepath.Join(i.deno, "platform")} }

// pinnedDeno returns the version of Deno that a directory's package.json pins.
func pinnedDeno(dir string) (string, error) {
	var wanted struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	err := readJSONFile(filepath.Join(dir, "package.json"), &wanted)
	return wanted.Dependencies["deno"], err
}

// denoIn finds the Deno that a directory's package.json pins.
func denoIn(dir string) (string, error) {
	pinned, err := pinnedDeno(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "node_modules", "deno", "deno")
	var found struct {
		Version string `json:"version"`
	}
	err = readJSONFile(filepath.Join(dir, "node_modules", "deno", "package.json"), &found)
	if err != nil || found.Version != pinned || !exists(path) {
		return "", fmt.Errorf("no Deno %s in %s (by npm): %w: run %q", pinned, dir, ErrNotInstalled, installCommand)
	}
	return path, nil
}

func readJSONFile(path string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (i *installer) install(ctx context.Context) error {
	if _, err := i.findPostgres(); err != nil {
		if i.dir != "" {
			return err
		}
		if err := i.installPostgres(ctx); err != nil {
			return fmt.Errorf("installing PostgreSQL and pg_cron: %w", err)
		}
	}
	if _, err := i.findPgBouncer(); err != nil {
		// With systemd, the package starts a pooler of its own, without a database.
		if err := i.installPackage(ctx, "pgbouncer"); err != nil {
			return fmt.Errorf("installing PgBouncer: %w", err)
		}
	}
	if !exists(i.gnupg) {
		if err := i.installPackage(ctx, "gnupg"); err != nil {
			return fmt.Errorf("installing GnuPG: %w", err)
		}
	}
	if i.deno == "" {
		return errors.New("installing Deno: internal/stack/deno is not found: run from inside the module")
	}
	for _, dir := range i.denoDirs() {
		if _, err := denoIn(dir); err != nil {
			if err := i.installDeno(ctx, dir); err != nil {
				return fmt.Errorf("installing Deno: %w", err)
			}
		}
	}
	postgres, postgresErr := i.findPostgres()
	deno, denoErr := i.findDeno()
	if err := errors.Join(postgresErr, denoErr); err != nil {
		return err
	}
	terraform, err := Terraform(ctx)
	if err != nil {
		return err
	}
	files, err := inspect(postgres)
	if err != nil {
		return err
	}
	i.say("PostgreSQL %s, with %v\nDeno       %s\nTerraform  %s", postgres, files, deno, terraform)
	return nil
}

func (i *installer) say(format string, args ...any) {
	_, _ = fmt.Fprintf(i.log, format+"\n", args...)
}

// installPostgres installs Debian's packages. A setting prevents them from creating a
// cluster.
func (i *installer) installPostgres(ctx context.Context) error {
	if i.version == laterPostgres {
		if offered, err := i.offersLater(ctx); err != nil || !offered {
			return errors.Join(err, i.installLater(ctx))
		}
	}
	if err := i.mayInstall(ctx); err != nil {
		return err
	}
	if err := i.apt(ctx, "update"); err != nil {
		return err
	}
	newest, err := i.newestPackaged(ctx)
	if err != nil {
		return err
	}
	if !exists(i.common) {
		if err := i.apt(ctx, "install", "postgresql-common"); err != nil {
			return err
		}
	}
	settings, err := os.ReadFile(i.common)
	if err != nil {
		return err
	}
	if err := i.write(ctx, i.common, string(settings)+"\ncreate_main_cluster = false\n"); err != nil {
		return err
	}
	err = i.apt(ctx, "install", fmt.Sprintf("postgresql-%d", newest), fmt.Sprintf("postgresql-%d-cron", newest))
	// Restored even if the context has ended.
	return errors.Join(err, i.write(context.WithoutCancel(ctx), i.common, string(settings)))
}

// installPackage installs one of Debian's packages.
func (i *installer) installPackage(ctx context.Context, name string) error {
	if err := i.mayInstall(ctx); err != nil {
		return err
	}
	if err := i.apt(ctx, "update"); err != nil {
		return err
	}
	return i.apt(ctx, "install", name)
}

// mayInstall reports why packages cannot be installed.
func (i *installer) mayInstall(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("they are installed by apt-get, on Debian or Ubuntu; elsewhere install PostgreSQL %d or newer with pg_cron below %s yourself: %w",
			oldestPostgres, i.postgres, err)
	}
	if i.root || exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil {
		return nil
	}
	return fmt.Errorf("installing packages needs root, or sudo without a password, and there is neither: run \"sudo apt-get install postgresql-%d postgresql-%d-cron pgbouncer gnupg\" and then %q again",
		oldestPostgres, oldestPostgres, installCommand)
}

// newestPackaged asks apt for the newest supported version for which there is pg_cron.
func (i *installer) newestPackaged(ctx context.Context) (int, error) {
	oldest, newest, err := i.wantedPostgres()
	if err != nil {
		return 0, err
	}
	list, err := exec.CommandContext(ctx, "apt-cache", "search", "--names-only", `^postgresql-[0-9]+-cron$`).Output()
	if err != nil {
		return 0, fmt.Errorf("apt-cache search: %w", err)
	}
	found := 0
	for line := range strings.Lines(string(list)) {
		var v int
		if n, _ := fmt.Sscanf(line, "postgresql-%d-cron", &v); n == 1 && v <= newest {
			found = max(found, v)
		}
	}
	if found < oldest {
		return 0, fmt.Errorf("apt offers no package postgresql-%d-cron or newer", oldest)
	}
	return found, nil
}

// apt runs apt-get as root, without questions.
func (i *installer) apt(ctx context.Context, verb string, packages ...string) error {
	args := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", verb}
	if verb == "install" {
		args = append(args, "--yes", "--no-install-recommends")
		i.say("installing %s", strings.Join(packages, " "))
	}
	return i.asRoot(ctx, nil, append(args, packages...)...)
}

// write writes a file as root.
func (i *installer) write(ctx context.Context, path, content string) error {
	return i.asRoot(ctx, strings.NewReader(content), "tee", path)
}

// asRoot runs a command as root, and shows its output only if it fails.
func (i *installer) asRoot(ctx context.Context, stdin io.Reader, args ...string) error {
	if !i.root {
		args = append([]string{"sudo", "-n"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = stdin
	return quietly(cmd)
}

// run runs a command with an environment, this process's if it is nil, and shows its
// output only if it fails.
func run(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = env
	return quietly(cmd)
}

// quietly runs a command, and shows its output only if it fails.
func quietly(cmd *exec.Cmd) error {
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// npmInstall installs what a directory's package-lock.json pins, without running scripts
// of packages.
func npmInstall(ctx context.Context, dir string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("it is installed by npm, which comes with Node.js: %w", err)
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w\n%s", dir, err, bytes.TrimSpace(output))
	}
	return nil
}

// installDeno installs the pinned Deno. Its package's script would only move the program.
func (i *installer) installDeno(ctx context.Context, dir string) error {
	i.say("installing Deno by npm ci")
	if err := npmInstall(ctx, dir); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(dir, "node_modules", "@deno", "*", "deno"))
	if err != nil {
		return err
	}
	if len(programs) != 1 {
		return fmt.Errorf("npm has no Deno for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	path := filepath.Join(dir, "node_modules", "deno", "deno")
	if err := os.Link(programs[0], path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A later Debian than this machine's has the PostgreSQL that Supabase runs today.
const (
	laterRelease  = "trixie"
	laterPostgres = "17"
	debianKeys    = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// Where PostgreSQL's programs and libraries and its other files are in a folder, each
// below a directory for its version.
const (
	postgresPrograms = "usr/lib/postgresql"
	postgresShare    = "usr/share/postgresql"
)

// laterDir returns the folder that installLater fills. It outlives the checkout. Root
// does not use a directory of its own, because the server runs as another user.
func laterDir() string {
	cache := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			cache = os.TempDir()
		}
	}
	return filepath.Join(cache, "terraform-provider-aimindset", "postgresql-"+laterPostgres+"-"+laterRelease)
}

// offersLater reports whether this machine's package repositories have the version
// with pg_cron.
func (i *installer) offersLater(ctx context.Context) (bool, error) {
	if _, err := exec.LookPath("apt-cache"); err != nil {
		return false, fmt.Errorf("PostgreSQL %s is installed from Debian's packages: %w", laterPostgres, err)
	}
	name := "postgresql-" + laterPostgres + "-cron"
	list, err := exec.CommandContext(ctx, "apt-cache", "search", "--names-only", "^"+name+"$").Output()
	if err != nil {
		return false, fmt.Errorf("apt-cache search: %w", err)
	}
	return bytes.Contains(list, []byte(name+" ")), nil
}

// installLater unpacks the packages of a later Debian into a folder, with all libraries
// that they need, and makes the programs use the folder's libraries. It needs neither
// root nor a mount nor a change of root, runs no script of a package, and changes
// nothing outside the folder.
func (i *installer) installLater(ctx context.Context) error {
	i.say("installing PostgreSQL %s with pg_cron of Debian %s in %s", laterPostgres, laterRelease, i.later)
	mirror, err := debianMirror(ctx)
	if err != nil {
		return err
	}
	above := filepath.Dir(i.later)
	if err := os.MkdirAll(above, 0o755); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	// Unpacked elsewhere and then moved, so that what is in the folder is complete. Only
	// this user can reach the packages' other files, some of which run as root.
	partial, err := os.MkdirTemp(above, "partial-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(partial) }()
	root := filepath.Join(partial, "root")
	if err := unpackLater(ctx, mirror, partial, root); err != nil {
		return err
	}
	loaders, err := filepath.Glob(filepath.Join(root, "usr/lib/*/ld-linux*.so.*"))
	if err != nil || len(loaders) != 1 {
		return errors.Join(err, fmt.Errorf("the packages hold %d dynamic loaders instead of one", len(loaders)))
	}
	loader := strings.TrimPrefix(loaders[0], root)
	programs, err := filepath.Glob(filepath.Join(root, postgresPrograms, laterPostgres, "bin/*"))
	if err != nil {
		return err
	}
	libraries := filepath.Dir(loader)
	for _, program := range programs {
		// Of the old kind of path, which also counts for the libraries of libraries.
		if err := run(ctx, nil, loaders[0], "--library-path", root+libraries, filepath.Join(root, "usr/bin/patchelf"),
			"--set-interpreter", i.later+loader, "--force-rpath", "--set-rpath", i.later+libraries, program); err != nil {
			return err
		}
	}
	wanted := filepath.Join(partial, "wanted")
	for _, dir := range []string{libraries, postgresPrograms, postgresShare} {
		to := filepath.Join(wanted, dir)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // the server's user reads it
			return err
		}
		if err := os.Rename(filepath.Join(root, dir), to); err != nil {
			return err
		}
	}
	if err := os.Rename(wanted, i.later); err != nil {
		// Another process may have done the same.
		if _, findErr := i.findPostgres(); findErr != nil {
			return err
		}
	}
	return nil
}

// unpackLater fetches the packages with an apt that knows only the later Debian and
// believes that nothing is installed, and unpacks them below root. It works below dir.
func unpackLater(ctx context.Context, mirror, dir, root string) error {
	settings := filepath.Join(dir, "apt.conf")
	files := map[string]string{
		settings:                               fmt.Sprintf(laterApt, dir),
		filepath.Join(dir, "status"):           "",
		filepath.Join(dir, "sources.list"):     fmt.Sprintf("deb [signed-by=%s] %s %s main\n", debianKeys, mirror, laterRelease),
		filepath.Join(dir, "lists/partial"):    "",
		filepath.Join(dir, "archives/partial"): "",
	}
	for path, content := range files {
		if filepath.Base(path) == "partial" {
			if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // apt's own mode
				return err
			}
		} else if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	env := append(os.Environ(), "APT_CONFIG="+settings)
	if err := run(ctx, env, "apt-get", "--quiet", "update"); err != nil {
		return err
	}
	if err := run(ctx, env, "apt-get", "--quiet", "--yes", "--download-only", "install",
		"postgresql-"+laterPostgres, "postgresql-"+laterPostgres+"-cron", "patchelf"); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(dir, "archives/*.deb"))
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := run(ctx, nil, "dpkg-deb", "--extract", p, root); err != nil {
			return err
		}
	}
	return nil
}

// laterApt are the settings of apt for a directory.
const laterApt = `
Dir::State "%[1]s";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Install-Recommends "false";
Acquire::Languages "none";
APT::Sandbox::User "root";
`

// debianMirror returns the address from which this machine gets Debian's packages.
func debianMirror(ctx context.Context) (string, error) {
	list, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(COMPONENT) $(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		uri, ok := strings.CutPrefix(strings.TrimSpace(line), "main ")
		if ok && strings.HasSuffix(strings.TrimSuffix(uri, "/"), "/debian") && exists(debianKeys) {
			return uri, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL %s with pg_cron is in no package repository of this machine, and Debian %s cannot be used, for want of a repository of Debian or of %s: add PostgreSQL's own repository (on Ubuntu, /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh does so)",
		laterPostgres, laterRelease, debianKeys)
}

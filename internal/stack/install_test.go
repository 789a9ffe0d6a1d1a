package stack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// machine is a pretended machine for an installer: directories, and programs on
// PATH that only write down how they were called, and do what matters.
type machine struct {
	t         *testing.T
	dir       string
	installer *installer
	output    bytes.Buffer
}

func newMachine(t *testing.T, programs map[string]string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	for name, script := range programs {
		m.write("bin/"+name, "#!/bin/sh\necho \"${0##*/} $*\" >> \"$MACHINE/calls\"\n"+script, 0o755)
	}
	m.write("deno/package.json", `{"dependencies": {"deno": "1.2.3"}}`, 0o644)
	m.write("deno/platform/package.json", `{"dependencies": {"deno": "1.1.0"}}`, 0o644)
	t.Setenv("MACHINE", m.dir)
	t.Setenv("PATH", filepath.Join(m.dir, "bin")+":/usr/bin:/bin")
	m.installer = &installer{
		postgres:  filepath.Join(m.dir, "lib"),
		share:     filepath.Join(m.dir, "share"),
		common:    filepath.Join(m.dir, "common", "createcluster.conf"),
		pgbouncer: filepath.Join(m.dir, "sbin", "pgbouncer"),
		gnupg:     filepath.Join(m.dir, "sbin", "gpg"),
		later:     filepath.Join(m.dir, "cache", "later"),
		deno:      filepath.Join(m.dir, "deno"),
		log:       &m.output,
	}
	return m
}

func (m *machine) write(name, content string, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		m.t.Fatal(err)
	}
}

// postgres pretends that a version is installed, with pg_cron or without, and
// the other packages.
func (m *machine) postgres(version int, cron bool) {
	m.write("sbin/pgbouncer", "", 0o755)
	m.write("sbin/gpg", "", 0o755)
	v := strconv.Itoa(version)
	m.write("lib/"+v+"/bin/postgres", "", 0o755)
	if cron {
		m.write("lib/"+v+"/lib/pg_cron.so", "", 0o644)
		m.write("share/"+v+"/extension/pg_cron.control", "", 0o644)
	}
}

func (m *machine) read(name string) string {
	content, _ := os.ReadFile(filepath.Join(m.dir, name))
	return string(content)
}

// aptGet installs postgresql-common and PostgreSQL, and keeps the settings that
// a cluster would have been made by.
const aptGet = `
case "$*" in
*install*postgresql-common) mkdir -p "$MACHINE/common"; echo '# settings' > "$MACHINE/common/createcluster.conf" ;;
*install*pgbouncer) mkdir -p "$MACHINE/sbin"; touch "$MACHINE/sbin/pgbouncer"; chmod +x "$MACHINE/sbin/pgbouncer" ;;
*install*gnupg) mkdir -p "$MACHINE/sbin"; touch "$MACHINE/sbin/gpg" ;;
*install*postgresql-17*)
  cp "$MACHINE/common/createcluster.conf" "$MACHINE/settings"
  mkdir -p "$MACHINE/lib/17/bin" "$MACHINE/lib/17/lib" "$MACHINE/share/17/extension"
  touch "$MACHINE/lib/17/bin/postgres" "$MACHINE/lib/17/lib/pg_cron.so" "$MACHINE/share/17/extension/pg_cron.control" ;;
esac`

const aptCache = `
echo 'postgresql-15-cron - Run periodic jobs in PostgreSQL'
echo 'postgresql-17-cron - Run periodic jobs in PostgreSQL'
echo 'postgresql-9-cron - Run periodic jobs in PostgreSQL'`

const npm = `
mkdir -p node_modules/deno node_modules/@deno/linux-x64-glibc
sed 's/.*"deno": "\([0-9.]*\)".*/{"version": "\1"}/' package.json > node_modules/deno/package.json
echo program > node_modules/@deno/linux-x64-glibc/deno`

// Proves which PostgreSQL is taken: the newest with pg_cron, and that what is
// missing, or not what is pinned, is named with the command that installs it, and
// nothing that the stack's parts do not need.
func TestProgramsAreFound(t *testing.T) {
	m := newMachine(t, nil)
	for parts, says := range map[Parts][]string{
		Database: {"PostgreSQL 15"}, Functions: {"Deno 1.2.3"}, Database | Functions: {"PostgreSQL 15", "Deno 1.2.3"},
	} {
		err := m.installer.missing(parts)
		if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "make install") {
			t.Errorf("nothing is there for %v: %v", parts, err)
			continue
		}
		for _, program := range []string{"PostgreSQL 15", "Deno 1.2.3"} {
			if strings.Contains(err.Error(), program) != slices.Contains(says, program) {
				t.Errorf("for parts %v, %s is named wrongly: %v", parts, program, err)
			}
		}
	}
	m.postgres(14, true)
	m.postgres(16, false)
	if _, err := m.installer.findPostgres(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("one is too old, one has no pg_cron: %v", err)
	}
	m.postgres(15, true)
	m.postgres(17, true)
	m.postgres(18, false)
	m.write("deno/node_modules/deno/deno", "", 0o755)
	m.write("deno/node_modules/deno/package.json", `{"version": "1.2.2"}`, 0o644)
	if _, err := m.installer.findDeno(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("an older Deno: %v", err)
	}
	m.write("deno/node_modules/deno/package.json", `{"version": "1.2.3"}`, 0o644)
	if err := m.installer.missing(Database | Functions); err != nil {
		t.Fatal(err)
	}
	if bin, err := m.installer.findPostgres(); err != nil || bin != filepath.Join(m.dir, "lib/17/bin") {
		t.Errorf("PostgreSQL is %q, %v", bin, err)
	}
	if deno, err := m.installer.findDeno(); err != nil || deno != filepath.Join(m.dir, "deno/node_modules/deno/deno") {
		t.Errorf("Deno is %q, %v", deno, err)
	}
}

// Proves that the version that is asked for is taken, and no other, from the folder that
// is asked for.
func TestPostgresVersionIsChosen(t *testing.T) {
	m := newMachine(t, map[string]string{"apt-get": "", "apt-cache": aptCache})
	m.postgres(15, true)
	m.postgres(17, true)
	for version, want := range map[string]string{"": "lib/17/bin", "15": "lib/15/bin", "17": "lib/17/bin"} {
		m.installer.version = version
		if got, err := m.installer.findPostgres(); err != nil || got != filepath.Join(m.dir, want) {
			t.Errorf("%q: %s, %v", version, got, err)
		}
	}
	m.installer.version = "15"
	if got, err := m.installer.newestPackaged(t.Context()); err != nil || got != 15 {
		t.Errorf("to install: %d, %v", got, err)
	}
	for version, says := range map[string]string{"16": "no PostgreSQL 16, which STACK_POSTGRES_VERSION asks for", "14": `"14"`, "17.2": `"17.2"`} {
		m.installer.version = version
		if _, err := m.installer.findPostgres(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", version, err)
		}
	}
	// A folder counts instead of the system.
	m.installer.dir, m.installer.version = filepath.Join(m.dir, "folder"), ""
	if _, err := m.installer.findPostgres(); err == nil || !strings.Contains(err.Error(), "STACK_POSTGRES_DIR") || errors.Is(err, ErrNotInstalled) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, file := range []string{"lib/postgresql/16/bin/postgres", "lib/postgresql/16/lib/pg_cron.so", "share/postgresql/16/extension/pg_cron.control"} {
		m.write("folder/usr/"+file, "", 0o755)
	}
	if got, err := m.installer.findPostgres(); err != nil || got != filepath.Join(m.dir, "folder/usr/lib/postgresql/16/bin") {
		t.Errorf("in a folder: %s, %v", got, err)
	}
	m.installer.dir, m.installer.version = "", "16"
	if _, err := m.installer.newestPackaged(t.Context()); err == nil || !strings.Contains(err.Error(), "postgresql-16-cron") {
		t.Errorf("to install: %v", err)
	}
}

// Proves that the Deno of the wanted version is taken, the current one if none is
// named, and that an unknown version is refused with those that there are.
func TestDenoVersionIsChosen(t *testing.T) {
	m := newMachine(t, map[string]string{"npm": npm})
	for _, dir := range m.installer.denoDirs() {
		if err := m.installer.installDeno(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	for version, want := range map[string]string{"": "deno/node_modules", "1.2.3": "deno/node_modules", "1.1.0": "deno/platform/node_modules", "platform": "deno/platform/node_modules"} {
		m.installer.denoVersion = version
		if got, err := m.installer.findDeno(); err != nil || got != filepath.Join(m.dir, want, "deno", "deno") {
			t.Errorf("%q: %s, %v", version, got, err)
		}
	}
	m.installer.denoVersion = "1.1.1"
	if _, err := m.installer.findDeno(); err == nil || !strings.Contains(err.Error(), `STACK_DENO_VERSION is "1.1.1"; it must be 1.2.3, 1.1.0 or platform`) {
		t.Errorf("a version that is not pinned: %v", err)
	}
}

// aptLater stands for an apt of which the machine's own repositories have no
// PostgreSQL 17, and those of the later Debian have it.
const aptLater = `
case "$*" in
indextargets*) printf 'contrib http://mirror.test/debian/\nmain http://mirror.test/debian/\n' ;;
*--download-only*)
  dir=$(sed -n 's/^Dir::Cache "\(.*\)";/\1/p' "$APT_CONFIG")
  cp "$dir/sources.list" "$MACHINE/sources.list"
  touch "$dir/archives/postgresql-17.deb" "$dir/archives/libc6.deb" ;;
esac`

// dpkgLater unpacks what matters: programs, libraries, a loader that runs patchelf, and
// a program that has no place in the folder.
const dpkgLater = `
case "$2" in
*libc6.deb)
  mkdir -p "$3/usr/lib/some-arch" "$3/usr/bin"
  printf '#!/bin/sh\necho "patchelf $*" >> "$MACHINE/calls"\n' > "$3/usr/lib/some-arch/ld-linux.so.2"
  chmod +x "$3/usr/lib/some-arch/ld-linux.so.2"
  touch "$3/usr/bin/su" ;;
*)
  mkdir -p "$3/usr/lib/postgresql/17/bin" "$3/usr/lib/postgresql/17/lib" "$3/usr/share/postgresql/17/extension"
  touch "$3/usr/lib/postgresql/17/bin/postgres" "$3/usr/lib/postgresql/17/lib/pg_cron.so" "$3/usr/share/postgresql/17/extension/pg_cron.control" ;;
esac`

// Proves that the version which this machine's packages lack is unpacked into a folder
// without root, from the repository that the machine uses and no other; that its
// programs get the folder's libraries and nothing else is kept; that it is found only
// when it is asked for; and that a failure leaves nothing behind.
func TestInstallLater(t *testing.T) {
	if !exists(debianKeys) {
		t.Skip(debianKeys + " is not on this machine")
	}
	programs := map[string]string{"apt-get": aptLater, "apt-cache": "", "dpkg-deb": dpkgLater}
	m := newMachine(t, programs)
	m.installer.version = "17"
	if err := m.installer.installPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := m.installer.later
	bin, err := m.installer.findPostgres()
	if err != nil || bin != filepath.Join(later, "usr/lib/postgresql/17/bin") {
		t.Errorf("found %q, %v", bin, err)
	}
	if got, want := m.read("sources.list"), "deb [signed-by="+debianKeys+"] http://mirror.test/debian/ trixie main\n"; got != want {
		t.Errorf("it fetched from %q, want %q", got, want)
	}
	calls := m.read("calls")
	for _, want := range []string{
		"--set-interpreter " + later + "/usr/lib/some-arch/ld-linux.so.2 --force-rpath --set-rpath " + later + "/usr/lib/some-arch ",
		"/usr/lib/postgresql/17/bin/postgres\n",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("no call has %q:\n%s", want, calls)
		}
	}
	if exists(filepath.Join(later, "usr/bin")) {
		t.Error("a program of another package was kept")
	}
	m.installer.version = ""
	if bin, err := m.installer.findPostgres(); err == nil {
		t.Errorf("no version was asked for, and it took %s", bin)
	}

	programs["dpkg-deb"] = "echo 'no space left'; exit 1"
	m = newMachine(t, programs)
	m.installer.version = "17"
	if err := m.installer.installPostgres(t.Context()); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("unpacking failed, and the error is %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(m.installer.later)); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// Proves that the machine's own package of the version is preferred to the folder, and
// that a machine without a repository of Debian is told what to do.
func TestInstallLaterIsTheLastResort(t *testing.T) {
	m := newMachine(t, map[string]string{"apt-get": aptGet, "apt-cache": aptCache})
	m.installer.version, m.installer.root = "17", true
	if err := m.installer.installPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bin, err := m.installer.findPostgres(); err != nil || bin != filepath.Join(m.dir, "lib/17/bin") {
		t.Errorf("found %q, %v", bin, err)
	}
	m = newMachine(t, map[string]string{"apt-get": "echo main http://mirror.test/ubuntu/", "apt-cache": ""})
	m.installer.version = "17"
	if err := m.installer.installPostgres(t.Context()); err == nil || !strings.Contains(err.Error(), "add PostgreSQL's own repository") {
		t.Errorf("without a repository of Debian: %v", err)
	}
}

// Proves that Install installs what is missing, the newest PostgreSQL that is
// offered, by sudo where it is not root, without a cluster of Debian's own, and
// Deno without running a script; and that it then has nothing more to do.
func TestInstall(t *testing.T) {
	for name, root := range map[string]bool{"as root": true, "by sudo": false} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{
				"apt-get": aptGet, "apt-cache": aptCache, "npm": npm, "sudo": `shift; exec "$@"`, "terraform-here": "",
			})
			m.installer.root = root
			t.Setenv("TF_ACC_TERRAFORM_PATH", filepath.Join(m.dir, "bin", "terraform-here"))
			if err := m.installer.install(t.Context()); err != nil {
				t.Fatal(err)
			}
			calls := m.read("calls")
			for _, want := range []string{
				"apt-get --quiet update",
				"apt-get --quiet install --yes --no-install-recommends postgresql-common",
				"apt-get --quiet install --yes --no-install-recommends postgresql-17 postgresql-17-cron",
				"apt-get --quiet install --yes --no-install-recommends pgbouncer",
				"apt-get --quiet install --yes --no-install-recommends gnupg",
				"npm ci --ignore-scripts",
			} {
				if !strings.Contains(calls, want) {
					t.Errorf("%q was not called:\n%s", want, calls)
				}
			}
			if strings.Contains(calls, "sudo") == root {
				t.Errorf("calls:\n%s", calls)
			}
			if !strings.Contains(m.read("settings"), "create_main_cluster = false") {
				t.Error("Debian would have made a cluster")
			}
			if settings := m.read("common/createcluster.conf"); settings != "# settings\n" {
				t.Errorf("the settings were left as %q", settings)
			}
			for _, dir := range []string{"deno", "deno/platform"} {
				if m.read(dir+"/node_modules/deno/deno") != "program\n" {
					t.Errorf("the Deno of %s is not in its place", dir)
				}
			}
			if !strings.Contains(m.output.String(), "lib/17/bin") || !strings.Contains(m.output.String(), "terraform-here") {
				t.Errorf("it says:\n%s", m.output.String())
			}
			m.write("calls", "", 0o644)
			if err := m.installer.install(t.Context()); err != nil {
				t.Fatal(err)
			}
			if calls := m.read("calls"); calls != "" {
				t.Errorf("the second time it called:\n%s", calls)
			}
		})
	}
}

// Proves that Install says what is in its way: neither root nor sudo, no npm, a
// package manager that fails, none that is new enough, or none at all.
func TestInstallSaysWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		programs map[string]string
		postgres bool
		says     []string
	}{
		"neither root nor sudo": {
			programs: map[string]string{"apt-get": "", "sudo": "exit 1"},
			says:     []string{"needs root, or sudo", "sudo apt-get install postgresql-15 postgresql-15-cron"},
		},
		"apt-get fails": {
			programs: map[string]string{"apt-get": "echo 'E: no space'; exit 100", "sudo": `shift; exec "$@"`},
			says:     []string{"apt-get --quiet update", "E: no space"},
		},
		"only an old version": {
			programs: map[string]string{"apt-get": "", "apt-cache": "echo 'postgresql-14-cron - x'", "sudo": `shift; exec "$@"`},
			says:     []string{"no package postgresql-15-cron or newer"},
		},
		"npm fails": {
			programs: map[string]string{"npm": "echo 'npm error integrity'; exit 1"},
			postgres: true,
			says:     []string{"npm ci", "npm error integrity"},
		},
		"no Deno for this machine": {
			programs: map[string]string{"npm": "mkdir -p node_modules/deno"},
			postgres: true,
			says:     []string{"npm has no Deno for"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, test.programs)
			if test.postgres {
				m.postgres(15, true)
			}
			err := m.installer.install(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
		})
	}
	t.Run("no package manager, no npm", func(t *testing.T) {
		m := newMachine(t, nil)
		t.Setenv("PATH", filepath.Join(m.dir, "bin"))
		if err := m.installer.install(t.Context()); err == nil || !strings.Contains(err.Error(), "apt-get") {
			t.Errorf("without apt-get: %v", err)
		}
		m.postgres(15, true)
		if err := m.installer.install(t.Context()); err == nil || !strings.Contains(err.Error(), "Node.js") {
			t.Errorf("without npm: %v", err)
		}
	})
}

// Proves that the Terraform that is named is taken, that a wrong name is an
// error, and that one on PATH or else one that was fetched before is found
// without the network.
func TestTerraform(t *testing.T) {
	m := newMachine(t, map[string]string{
		"terraform": `echo '{"terraform_version": "1.14.0"}' | if [ "$2" = -json ]; then cat; else echo 'Terraform v1.14.0'; fi`,
		"named":     "",
	})
	named := filepath.Join(m.dir, "bin", "named")
	t.Setenv("TF_ACC_TERRAFORM_PATH", named)
	if path, err := Terraform(t.Context()); err != nil || path != named {
		t.Errorf("named: %q, %v", path, err)
	}
	t.Setenv("TF_ACC_TERRAFORM_PATH", named+"-not")
	if path, err := Terraform(t.Context()); err == nil {
		t.Errorf("named wrongly: %q", path)
	}
	t.Setenv("TF_ACC_TERRAFORM_PATH", "")
	if path, err := Terraform(t.Context()); err != nil || path != filepath.Join(m.dir, "bin", "terraform") {
		t.Errorf("on PATH: %q, %v", path, err)
	}
	for said, want := range map[string]string{
		"Terraform v1.11.4\non linux_amd64": "1.11.4 false",
		"OpenTofu v1.11.0":                  "1.11.0 true",
		"\nWarning: Unable to open CLI configuration file\n\nOpenTofu v1.12.6-dev": "1.12.6-dev true",
		"Pulumi v3.0.0": "<nil> false",
	} {
		m.write("bin/program", "#!/bin/sh\ncat <<'end'\n"+said+"\nend\n", 0o755)
		v, openTofu, err := TerraformVersion(t.Context(), filepath.Join(m.dir, "bin", "program"))
		if got := fmt.Sprint(v, openTofu); got != want || (err != nil) != (v == nil) {
			t.Errorf("the version of %q is %s, want %s, error %v", said, got, want, err)
		}
	}
	m.write("bin/terraform", "#!/bin/sh\necho 'Terraform v1.5.7'\n", 0o755)
	t.Setenv("PATH", filepath.Join(m.dir, "bin"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(m.dir, "cache"))
	fetched := "cache/terraform-provider-aimindset/terraform-" + terraformVersion + "/terraform"
	m.write(fetched, "", 0o755)
	if path, err := Terraform(t.Context()); err != nil || path != filepath.Join(m.dir, fetched) {
		t.Errorf("fetched before: %q, %v", path, err)
	}
}

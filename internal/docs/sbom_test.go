package docs_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	osexec "os/exec" // exec is a helper of this package
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// bill is what the tests read of a bill of materials in CycloneDX's JSON.
type bill struct {
	Format   string `json:"bomFormat"`
	Version  string `json:"specVersion"`
	Serial   string `json:"serialNumber"`
	Metadata struct {
		Time      string    `json:"timestamp"`
		Component component `json:"component"`
	} `json:"metadata"`
	Components   []component `json:"components"`
	Dependencies []struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	} `json:"dependencies"`
}

// component is one module.
type component struct {
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
	Hashes  []struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	} `json:"hashes"`
	Evidence struct {
		Licenses []struct {
			License struct {
				ID string `json:"id"`
			} `json:"license"`
		} `json:"licenses"`
	} `json:"evidence"`
}

// TestBillOfMaterials proves that the bill of materials of a built provider lists what Go
// says the binary was made of: Go, and each module with its version, the hash that go.sum
// has, and a license; that it names no path of this machine; and that it has the same bytes
// again. With -dist, it is the one that the release has for each archive.
func TestBillOfMaterials(t *testing.T) {
	t.Parallel()
	if *dist != "" {
		archives, err := filepath.Glob(filepath.Join(*dist, "terraform-provider-aimindset_*.zip"))
		if err != nil || len(archives) == 0 {
			t.Fatalf("there are no archives in %s (%v)", *dist, err)
		}
		sums := checksums(t, *dist)
		for _, archive := range archives {
			program, number := unpacked(t, archive)
			name := strings.TrimSuffix(filepath.Base(archive), ".zip") + ".cdx.json"
			text, err := os.ReadFile(filepath.Join(*dist, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{filepath.Base(archive), name} {
				content, err := os.ReadFile(filepath.Join(*dist, file))
				if err != nil {
					t.Fatal(err)
				}
				if digest := sha256.Sum256(content); sums[file] != hex.EncodeToString(digest[:]) {
					t.Errorf("the checksum of %s is %q", file, sums[file])
				}
			}
			lists(t, text, program, number)
			if strings.HasSuffix(archive, "_"+runtime.GOOS+"_"+runtime.GOARCH+".zip") && !bytes.Equal(text, billOf(t, program, number)) {
				t.Errorf("%s has other bytes when it is made again", name)
			}
		}
		return
	}
	place := filepath.Join(toolsFor(t).dir, "mirror", "registry.terraform.io", "aimindset", "aimindset", "0.0.1", runtime.GOOS+"_"+runtime.GOARCH)
	program := filepath.Join(place, "terraform-provider-aimindset_v0.0.1")
	lists(t, billOf(t, program, "0.0.1"), program, "0.0.1")
}

// TestBillOfAnotherPlatform proves that a bill of materials is for the platform that its
// binary was built for, not for the one on which it is made.
func TestBillOfAnotherPlatform(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/nothing\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	goos, goarch := "windows", "arm64"
	if runtime.GOOS == goos {
		goos, goarch = "linux", "amd64"
	}
	program := filepath.Join(dir, "nothing")
	build := osexec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var found bill
	if err := json.Unmarshal(billOf(t, program, "0.0.1"), &found); err != nil {
		t.Fatal(err)
	}
	if purl := found.Metadata.Component.PURL; !strings.Contains(purl, "goos="+goos) || !strings.Contains(purl, "goarch="+goarch) {
		t.Errorf("the bill of a binary for %s/%s is of %s", goos, goarch, purl)
	}
}

// billOf makes the bill of materials as a release does.
func billOf(t *testing.T, program, number string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bill.cdx.json")
	make := osexec.CommandContext(t.Context(), "make", "--silent", "-C", root, "sbom", "VERSION="+number, "BINARY="+program, "SBOM="+path)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// lists compares a bill of materials with what Go says of the program.
func lists(t *testing.T, text []byte, program, number string) {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var found bill
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	if found.Format != "CycloneDX" || found.Version != "1.6" || found.Serial != "" || found.Metadata.Time != "" {
		t.Errorf("%s: the bill is of %s %s, with the serial number %q and the time %q", program, found.Format, found.Version, found.Serial, found.Metadata.Time)
	}
	if main := found.Metadata.Component; main.Name != info.Main.Path || main.Version != "v"+number {
		t.Errorf("%s: the bill is of %s %s", program, main.Name, main.Version)
	}
	for _, platform := range []string{"GOOS", "GOARCH"} {
		at := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == platform })
		if at < 0 || !strings.Contains(found.Metadata.Component.PURL, strings.ToLower(platform)+"="+info.Settings[at].Value) {
			t.Errorf("%s: %s is not in %s", program, platform, found.Metadata.Component.PURL)
		}
	}
	wanted := map[string]string{"std": info.GoVersion}
	sums := map[string]string{}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		wanted[module.Path], sums[module.Path] = module.Version, strings.TrimPrefix(module.Sum, "h1:")
	}
	if len(wanted) < 20 {
		t.Fatalf("%s has %d modules", program, len(wanted))
	}
	refs := map[string]bool{found.Metadata.Component.Ref: true}
	for _, module := range found.Components {
		if refs[module.Ref] {
			t.Errorf("%s: %s is there twice", program, module.Ref)
		}
		refs[module.Ref] = true
		if version, isDep := wanted[module.Name]; !isDep || version != module.Version {
			t.Errorf("%s: the bill has %s %s, and the program %q", program, module.Name, module.Version, version)
		}
		delete(wanted, module.Name)
		if !strings.HasPrefix(module.PURL, "pkg:golang/"+module.Name+"@"+module.Version) {
			t.Errorf("%s: %s is identified by %s", program, module.Name, module.PURL)
		}
		if module.Name == "std" {
			continue // its license and its sum are those of the Go that is built with
		}
		sum, err := base64.StdEncoding.DecodeString(sums[module.Name])
		if err != nil || len(module.Hashes) != 1 || module.Hashes[0].Algorithm != "SHA-256" || module.Hashes[0].Content != hex.EncodeToString(sum) {
			t.Errorf("%s: %s has the hashes %v instead of %x (%v)", program, module.Name, module.Hashes, sum, err)
		}
		if len(module.Evidence.Licenses) == 0 || module.Evidence.Licenses[0].License.ID == "" {
			t.Errorf("%s: %s has no license", program, module.Name)
		}
	}
	for name, version := range wanted {
		t.Errorf("%s: the bill lacks %s %s", program, name, version)
	}
	for _, one := range found.Dependencies {
		for _, ref := range append(one.DependsOn, one.Ref) {
			if !refs[ref] {
				t.Errorf("%s: the bill has a dependency on %s, which it does not list", program, ref)
			}
		}
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{here, home + "/", os.TempDir() + "/"} {
		if bytes.Contains(text, []byte(path)) {
			t.Errorf("%s: the bill contains the path %s", program, path)
		}
	}
}

// unpacked returns the path of the provider in a release's archive, and its version.
func unpacked(t *testing.T, archive string) (program, number string) {
	t.Helper()
	packed, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	for _, entry := range packed.File {
		match := regexp.MustCompile(`^terraform-provider-aimindset_v(.*?)(\.exe)?$`).FindStringSubmatch(entry.Name)
		if match == nil {
			continue
		}
		content, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		program = filepath.Join(t.TempDir(), entry.Name)
		if err := os.WriteFile(program, text, 0o700); err != nil {
			t.Fatal(err)
		}
		return program, match[1]
	}
	t.Fatalf("%s has no provider", archive)
	return "", ""
}

// checksums reads the checksums of a release, by file.
func checksums(t *testing.T, dir string) map[string]string {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join(dir, "*_SHA256SUMS"))
	if err != nil || len(lists) != 1 {
		t.Fatalf("the lists of checksums are %q (%v)", lists, err)
	}
	text, err := os.ReadFile(lists[0])
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, file, found := strings.Cut(strings.TrimSpace(line), "  ")
		if !found {
			t.Fatalf("%s has the line %q", lists[0], line)
		}
		sums[file] = sum
	}
	return sums
}

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// s3Tool is a program that the module s3 pins.
type s3Tool struct {
	// module is what it consists of, program what to build: a package.
	module, program string
	// source is a file of ours whose text belongs to its version, or empty.
	source string
}

// The S3 servers.
var (
	versityTool = s3Tool{module: "github.com/versity/versitygw", program: "github.com/versity/versitygw/cmd/versitygw"}
	memoryTool  = s3Tool{module: "github.com/rclone/gofakes3", program: "./memory", source: "memory/main.go"}
)

// s3Dir is the directory of the module that pins the S3 servers. It is a module of its
// own, so that none of their dependencies becomes one of the provider.
func s3Dir() string {
	deno := denoDir()
	if deno == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(deno), "s3")
}

// pinnedModule returns the version of a module that a directory's go.mod requires.
func pinnedModule(dir, module string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", filepath.Join(dir, "go.mod"), module)
}

// find finds the program that InstallS3 has built, of the pinned version of its module.
// The path is that at which it belongs even if it is not there.
func (t s3Tool) find() (path string, err error) {
	dir := s3Dir()
	if dir == "" {
		return "", errors.New("no S3 server: internal/stack/s3 is not found: run from inside the module")
	}
	version, err := pinnedModule(dir, t.module)
	if err != nil {
		return "", err
	}
	version = strings.TrimPrefix(version, "v")
	if t.source != "" {
		text, err := os.ReadFile(filepath.Join(dir, t.source))
		if err != nil {
			return "", err
		}
		version += "-" + sha256Hex(string(text))[:12]
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no directory to keep the S3 server in: %w", err)
	}
	path = filepath.Join(cache, "terraform-provider-aimindset", filepath.Base(t.module)+"-"+version, filepath.Base(t.program))
	if _, lookErr := exec.LookPath(path); lookErr != nil {
		return path, fmt.Errorf("no S3 server %s: %w: run %q", path, ErrNotInstalled, installCommand)
	}
	return path, nil
}

// InstallS3 builds the S3 servers of the pinned versions with Go, unless that has been
// done before, and keeps them in the user's cache directory. It takes about two minutes
// of one processor and 60 MB. InstallS3 writes to log what it does.
func InstallS3(ctx context.Context, log io.Writer) error {
	for _, tool := range []s3Tool{versityTool, memoryTool} {
		path, err := tool.find()
		if err == nil {
			continue
		}
		if path == "" {
			return err
		}
		begin := time.Now()
		_, _ = fmt.Fprintf(log, "building the S3 server of %s; the first time this takes a minute or two\n", tool.module)
		if err := buildTool(ctx, s3Dir(), tool.program, path); err != nil {
			return fmt.Errorf("building the S3 server of %s: %w", tool.module, err)
		}
		_, _ = fmt.Fprintf(log, "S3 server  %s, built in %.0f s\n", path, time.Since(begin).Seconds())
	}
	return nil
}

// buildTool builds a program of a module or of its dependencies.
func buildTool(ctx context.Context, dir, program, path string) error {
	above := filepath.Dir(filepath.Dir(path))
	if err := os.MkdirAll(above, 0o750); err != nil {
		return err
	}
	// Other processes may do the same, so it is built elsewhere and then moved.
	partial, err := os.MkdirTemp(above, "partial-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(partial) }()
	// Without -trimpath, Go's own packages need not be compiled again.
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-ldflags=-s -w", "-o", filepath.Join(partial, filepath.Base(path)), program)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if err := quietly(cmd); err != nil {
		return err
	}
	if err := os.Rename(partial, filepath.Dir(path)); err != nil {
		if _, lookErr := exec.LookPath(path); lookErr != nil {
			return err
		}
	}
	return nil
}

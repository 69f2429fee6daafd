package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Apt resolves and fetches packages of one suite, from the package sources of
// the machine that carry this suite.
type Apt struct {
	dir    string // private state and cache
	logger *slog.Logger
}

// Open prepares a private apt state in dir for the suite; etc is the machine's apt configuration, usually /etc/apt.
func Open(dir, etc, suite string, logger *slog.Logger) (*Apt, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	sources, err := readSources(etc, suite)
	if err != nil {
		return nil, err
	}
	a := &Apt{dir: dir, logger: logger}
	for _, sub := range []string{"state", "lists/partial", "archives", "none/partial", "unpacked", "sources.d"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("prepare package cache: %w", err)
		}
	}
	// An empty status file says that nothing is installed: the closure is complete and the same on every machine.
	if err := os.WriteFile(filepath.Join(dir, "status"), nil, 0o644); err != nil {
		return nil, fmt.Errorf("prepare package cache: %w", err)
	}
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(dir, "sources.d", name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("prepare package cache: %w", err)
		}
	}
	return a, nil
}

// Resolve brings the package lists up to date and returns the named packages with all that they depend on.
func (a *Apt) Resolve(ctx context.Context, names []string) ([]Package, error) {
	a.logger.Info("updating package lists")
	if _, err := a.run(ctx, "update", "-qq"); err != nil {
		return nil, err
	}
	out, err := a.run(ctx, append([]string{"install", "--print-uris", "-qq", "-y", "--no-install-recommends"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parseURIs(out)
}

// Fetch downloads the packages that are not in the cache and checks the digest of every one.
func (a *Apt) Fetch(ctx context.Context, packages []Package) error {
	var missing []string
	for _, p := range packages {
		if p.verify(a.archive(p)) != nil {
			missing = append(missing, p.Name+"="+p.Version)
		}
	}
	if len(missing) > 0 {
		a.logger.Info("downloading packages", "count", len(missing))
		args := []string{"download", "-qq"}
		if _, err := a.run(ctx, append(args, missing...)...); err != nil {
			return fmt.Errorf("%w (a version that is gone: build with --refresh)", err)
		}
	}
	for _, p := range packages {
		if err := p.verify(a.archive(p)); err != nil {
			return err
		}
	}
	return nil
}

func (a *Apt) archive(p Package) string { return filepath.Join(a.dir, "archives", p.File) }

// run calls apt-get with the private state, in the directory of the archives, where "download" puts its files.
func (a *Apt) run(ctx context.Context, args ...string) ([]byte, error) {
	at := func(name string) string { return filepath.Join(a.dir, name) }
	options := []string{
		"-o", "Dir::State=" + at("state"),
		"-o", "Dir::State::lists=" + at("lists"),
		"-o", "Dir::State::status=" + at("status"),
		"-o", "Dir::Cache=" + a.dir,
		// Stays empty: --print-uris leaves out what apt finds there. "download" uses the working directory.
		"-o", "Dir::Cache::archives=" + at("none"),
		"-o", "Dir::Etc::sourcelist=/dev/null",
		"-o", "Dir::Etc::sourceparts=" + at("sources.d"),
		"-o", "Dir::Etc::preferences=/dev/null",
		"-o", "Dir::Etc::preferencesparts=/dev/null",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Sandbox::User=" + sandboxUser(),
		"-o", "APT::Get::List-Cleanup=false",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=3",
		"-o", "Acquire::ForceHash=SHA256", // what --print-uris tells
		"-o", "DPkg::Post-Invoke::=",
		"-o", "APT::Update::Post-Invoke::=",
		"-o", "APT::Update::Post-Invoke-Success::=",
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(options, args...)...)
	cmd.Dir = at("archives")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		if errors.Is(err, exec.ErrNotFound) {
			text = "mini-OS images are built on Debian"
		}
		return nil, fmt.Errorf("apt-get %s: %w: %s", args[0], err, lastLines(text, 5))
	}
	return out, nil
}

// sandboxUser is who downloads. For root that is root: the cache may lie in a directory that apt's own user cannot enter.
func sandboxUser() string {
	if os.Getuid() == 0 {
		return "root"
	}
	return ""
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "; ")
}

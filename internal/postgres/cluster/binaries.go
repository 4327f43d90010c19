package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/postgres"
)

// binaryPlaces are where packages put the programs of PostgreSQL when they are
// not in PATH. Of several versions the newest is taken.
var binaryPlaces = []string{
	"/usr/lib/postgresql/*/bin",  // Debian, Ubuntu
	"/usr/pgsql-*/bin",           // postgresql.org's packages for Fedora and others
	"/usr/lib64/postgresql*/bin", // Gentoo, openSUSE
	"/usr/lib/postgresql*/bin",   // openSUSE
	"/usr/libexec/postgresql*",   // Alpine
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin", // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/opt/local/lib/postgresql*/bin", // MacPorts
	"/usr/local/pgsql/bin",           // built from source
}

// binaries are the programs of one installed version of PostgreSQL.
type binaries struct {
	dir     string
	major   int
	version string // what it says of itself
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// findBinaries finds the programs for the cluster: of its version if it exists,
// else those in PATH, else the newest.
func findBinaries(ctx context.Context, p place) (binaries, error) {
	inPath := installedBinaries(ctx, binaryFolders(filepath.SplitList(os.Getenv("PATH"))), p.owner)
	var elsewhere []string
	for _, pattern := range binaryPlaces {
		if found, err := filepath.Glob(pattern); err == nil {
			elsewhere = append(elsewhere, found...)
		}
	}
	others := installedBinaries(ctx, binaryFolders(elsewhere), p.owner)
	slices.SortFunc(others, func(a, b binaries) int { return b.major - a.major })
	return chooseBinaries(append(inPath, others...), p.data())
}

// binaryFolders returns those of the folders that hold the programs, each once.
func binaryFolders(candidates []string) []string {
	var folders []string
	for _, dir := range candidates {
		// A link in PATH stands for the folder that it points into, where initdb finds
		// the other programs beside itself.
		program, err := exec.LookPath(filepath.Join(dir, "postgres"))
		if err == nil {
			program, err = realPath(program)
		}
		if err != nil {
			continue
		}
		dir = filepath.Dir(program)
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil && !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	return folders
}

// installedBinaries asks the programs in the folders for their version, as the
// user who will run them. Those that do not answer are left out.
func installedBinaries(ctx context.Context, folders []string, runner *owner) []binaries {
	var installed []binaries
	for _, dir := range folders {
		output, err := runner.command(ctx, "/", filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		if major, ok := parseVersion(string(output)); ok {
			installed = append(installed, binaries{dir: dir, major: major, version: strings.TrimSpace(string(output))})
		}
	}
	return installed
}

// versionPattern matches "postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"
// and "postgres (PostgreSQL) 18beta1".
var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// parseVersion returns the major version in the answer to --version.
func parseVersion(output string) (major int, ok bool) {
	match := versionPattern.FindStringSubmatch(output)
	if match == nil {
		return 0, false
	}
	major, err := strconv.Atoi(match[1])
	return major, err == nil
}

// chooseBinaries chooses from the installed ones, best first, for a data folder.
func chooseBinaries(installed []binaries, data string) (binaries, error) {
	var usable []binaries
	for _, candidate := range installed {
		if candidate.major >= postgres.MinVersion/10000 {
			usable = append(usable, candidate)
		}
	}
	content, err := os.ReadFile(filepath.Join(data, versionFile))
	if err != nil {
		if len(usable) == 0 {
			return binaries{}, errors.New("no PostgreSQL 14 or newer is installed: " + installHint())
		}
		return usable[0], nil
	}
	version := strings.TrimSpace(string(content))
	for _, candidate := range usable {
		if strconv.Itoa(candidate.major) == version {
			return candidate, nil
		}
	}
	return binaries{}, fmt.Errorf("%s was made by PostgreSQL %s, which is not installed: install that version, "+
		"or move the data to a newer one with pg_upgrade", data, version)
}

// installHint returns how to get PostgreSQL on this system.
func installHint() string {
	const otherwise = ", or set database.url"
	if runtime.GOOS == "darwin" {
		return "brew install postgresql@17" + otherwise
	}
	for _, manager := range []struct{ program, command string }{
		{"apt-get", "apt-get install postgresql"},
		{"dnf", "dnf install postgresql-server"},
		{"zypper", "zypper install postgresql-server"},
		{"apk", "apk add postgresql"},
		{"pacman", "pacman -S postgresql"},
		{"pkg", "pkg install postgresql17-server"},
	} {
		if _, err := exec.LookPath(manager.program); err == nil {
			return manager.command + otherwise
		}
	}
	return "install its server package" + otherwise
}

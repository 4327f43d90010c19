package buildinfo

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const repository = "../../../"

func TestVersionOf(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":                                   number + "-dev",
		"v1.2.3":                             "1.2.3",
		"1.2.3":                              "1.2.3",
		"v1.2.3-rc1":                         "1.2.3-rc1",
		"v1.2.3-0-g8d41f2a":                  "1.2.3",
		"v1.2.3-0-g8d41f2a-dirty":            number + "-dev+8d41f2a-dirty",
		"v1.2.3-4-g8d41f2a":                  number + "-dev+8d41f2a",
		"8d41f2a":                            number + "-dev+8d41f2a",
		"8d41f2a-dirty":                      number + "-dev+8d41f2a-dirty",
		strings.Repeat("0123456789", 4):      number + "-dev+012345678901",
		strings.Repeat("a", 40) + "-dirty":   number + "-dev+aaaaaaaaaaaa-dirty",
		"v0.0.0-20260102030405-0123456789ab": number + "-dev+0123456789ab",
	} {
		if got := versionOf(source); got != want {
			t.Errorf("%q: got %s, want %s", source, got, want)
		}
	}
}

func TestSourceInAnArchive(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("0123456789", 4)
	for text, want := range map[string]string{
		archive:                                 "",
		commit + " \n":                          commit,
		commit + " HEAD -> main, origin/main\n": commit,
		commit + " HEAD -> main, tag: v0.2.0, origin/main\n": "v0.2.0",
		commit + " tag: nightly\n":                           commit,
	} {
		if got := sourceIn(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNumberIsTheNewestInTheChangelog(t *testing.T) {
	t.Parallel()
	first := regexp.MustCompile(`(?m)^## (\S+)`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	if first == nil || first[1] != number {
		t.Errorf("the changelog begins with %q, this is %s", first, number)
	}
}

// source is a small program in the shape of this module, which prints its version.
type source struct {
	t   *testing.T
	dir string
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(repository + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func newSource(t *testing.T) *source {
	t.Helper()
	for _, program := range []string{"git", "make", "sh"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs " + program)
		}
	}
	s := &source{t, t.TempDir()}
	const folder = "internal/server/buildinfo/"
	for _, file := range []string{folder + "buildinfo.go", folder + "archive.txt", ".gitattributes", ".gitignore", "Makefile"} {
		s.write(file, read(t, file))
	}
	s.write("go.mod", strings.Join(strings.SplitAfter(read(t, "go.mod"), "\n")[:3], ""))
	s.write("cmd/homeserver/main.go", `package main

import (
	"fmt"

	"homeserver/internal/server/buildinfo"
)

func main() { fmt.Println(buildinfo.Version()) }
`)
	return s
}

func (s *source) write(file, content string) {
	s.t.Helper()
	path := filepath.Join(s.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// sh runs a command in the folder of the source, and returns its output.
func (s *source) sh(command string, environ ...string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(s.dir),
		"GOENV=off", "GOFLAGS=", "MAKEFLAGS=", "MAKELEVEL=",
		"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example.org", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@example.org")
	cmd.Env = append(cmd.Env, environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// built runs the commands that build the program, and then the program at the path.
func (s *source) built(commands, program string) string {
	s.t.Helper()
	s.sh(commands)
	return s.sh(program)
}

// The ways of building, and where each puts the program.
func (s *source) ways() map[string][2]string {
	docker := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*)$`).FindStringSubmatch(read(s.t, "Dockerfile"))
	if docker == nil {
		s.t.Fatal("the Dockerfile does not build")
	}
	inDocker := strings.ReplaceAll(docker[1], "/out/", "bin/docker/")
	return map[string][2]string{
		"make build":       {"make build", "bin/homeserver"},
		"go build":         {"go build -o bin/plain ./cmd/homeserver", "bin/plain"},
		"go install":       {"GOBIN=$PWD/bin/installed go install ./cmd/homeserver", "bin/installed/homeserver"},
		"docker":           {"export VERSION=; " + inDocker, "bin/docker/homeserver"},
		"docker with make": {"export $(make -n image | grep -o 'VERSION=[^ ]*'); " + inDocker, "bin/docker/homeserver"},
	}
}

func TestEveryWayOfBuildingKnowsTheVersion(t *testing.T) {
	s := newSource(t)
	want := func(state, version string, except ...string) {
		t.Helper()
		for name, way := range s.ways() {
			if len(except) > 0 && name == except[0] {
				continue
			}
			if got := s.built(way[0], way[1]); got != version {
				t.Errorf("%s, %s: got %s, want %s", name, state, got, version)
			}
		}
	}
	want("without git", number+"-dev")

	s.sh("git init -q -b main && git add -A && git commit -qm first")
	first := number + "-dev+" + s.sh("git rev-parse --short=7 HEAD")
	for name, way := range s.ways() {
		got := s.built(way[0], way[1])
		if !strings.HasPrefix(got, first) && name != "docker" {
			t.Errorf("%s, at a commit: got %s, want %s", name, got, first)
		}
	}
	s.write("cmd/homeserver/more.go", "package main\n")
	s.sh("git add -A")
	for _, name := range []string{"make build", "go build"} {
		way := s.ways()[name]
		if got := s.built(way[0], way[1]); !strings.HasPrefix(got, first) || !strings.HasSuffix(got, "-dirty") {
			t.Errorf("%s, with changes: got %s", name, got)
		}
	}

	s.sh("git commit -qm second && git tag v0.98.7")
	// An engine that is sent no repository knows the version from its argument alone.
	want("at a tag", "0.98.7", "docker")

	archive := &source{t, t.TempDir()}
	s.sh("git archive --format=tar HEAD | tar -x -C '" + archive.dir + "'")
	for name, way := range archive.ways() {
		if got := archive.built(way[0], way[1]); got != "0.98.7" {
			t.Errorf("%s, in an archive of a tag: got %s", name, got)
		}
	}
}

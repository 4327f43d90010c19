package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// guides are the documents for operators, in the order in which their commands are run. The
// metrics are in that of the daily work.
var guides = []string{"docs/install.md", operate, "docs/scale.md", "docs/faq.md"}

const operate = "docs/operate.md"

// documents lists the documents of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(repository + "docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("%v: no documents: %v", found, err)
	}
	files := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}
	for _, file := range found {
		files = append(files, strings.TrimPrefix(file, repository))
	}
	return files
}

func TestTargetsInDocumentsExist(t *testing.T) {
	t.Parallel()
	makefile := readFile(t, repository+"Makefile")
	mentioned := regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z-]*)")
	readme := map[string]bool{}
	for _, file := range documents(t) {
		for _, match := range mentioned.FindAllStringSubmatch(readFile(t, repository+file), -1) {
			if !strings.Contains(makefile, "\n"+match[1]+": ") {
				t.Errorf("%s: there is no target %s", file, match[1])
			}
			readme[match[1]] = readme[match[1]] || file == "README.md"
		}
	}
	for _, target := range []string{"run", "test"} {
		if !readme[target] {
			t.Errorf("the README does not tell of make %s", target)
		}
	}
}

// Commands that no test can run say why.
func TestCommandsInDocumentsAreRun(t *testing.T) {
	t.Parallel()
	run := append([]string{"README.md", "docs/application-services.md", "docs/testing-clients.md"}, guides...)
	run = append(run, lessons...)
	for _, file := range documents(t) {
		for _, b := range blocks(t, file) {
			switch {
			case b.language == "sh" && !slices.Contains(run, file) && !onlyMakes(b.text):
				t.Errorf("%s:%d: no test runs these commands", file, b.line)
			case b.language == "console" && b.reason == "":
				t.Errorf("%s:%d: there is no reason, in brackets after \"console\", why no test runs these commands", file, b.line)
			}
		}
	}
}

// onlyMakes reports whether all of the commands make something by the Makefile, whose targets
// another test looks for.
func onlyMakes(commands string) bool {
	for line := range strings.Lines(commands) {
		if !strings.HasPrefix(line, "make ") {
			return false
		}
	}
	return true
}

// anchor makes the link target of a heading, as the pages of a repository have it.
func anchor(heading string) string {
	text := strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	text = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(text, "")
	return strings.ReplaceAll(text, " ", "-")
}

func TestLinksInDocumentsResolve(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, file := range documents(t) {
		for _, match := range link.FindAllStringSubmatch(readFile(t, repository+file), -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := repository + file
			if target != "" {
				path = filepath.Join(repository+filepath.Dir(file), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads nowhere", file, match[1])
				continue
			}
			if fragment == "" {
				continue
			}
			headings := regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(readFile(t, path), -1)
			if !slices.ContainsFunc(headings, func(h string) bool { return anchor(h) == fragment }) {
				t.Errorf("%s: %s has no such heading", file, match[1])
			}
		}
	}
}

// The forms of the repository are read by nobody before somebody wants to report a mistake.
func TestIssueFormsAreValid(t *testing.T) {
	t.Parallel()
	forms, err := filepath.Glob(repository + ".github/ISSUE_TEMPLATE/*.yml")
	if err != nil || len(forms) == 0 {
		t.Fatalf("%v: no forms: %v", err, forms)
	}
	for _, file := range forms {
		if filepath.Base(file) == "config.yml" {
			continue
		}
		var form struct {
			Name, Description string
			Labels            []string
			Body              []struct {
				Type, ID    string
				Attributes  map[string]any
				Validations map[string]bool
			}
		}
		if err := yaml.UnmarshalWithOptions([]byte(readFile(t, file)), &form, yaml.Strict()); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: no name, description or body", file)
		}
		for i, field := range form.Body {
			if field.Type != "markdown" && (field.ID == "" || field.Attributes["label"] == nil) {
				t.Errorf("%s: field %d has no id or no label", file, i+1)
			}
		}
	}
}

func TestConfigurationsInDocumentsAreValid(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, guide := range guides {
		for _, b := range blocks(t, guide) {
			if b.language != "yaml" {
				continue
			}
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(config.Sources{File: file}); err != nil {
				t.Errorf("%s:%d: %v", guide, b.line, err)
			}
			checked++
		}
	}
	if checked == 0 {
		t.Error("there are none")
	}
}

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	socket, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().String()
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// commandFolder makes a folder with the program as the command homeserver.
func commandFolder(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", actAsProgram, self)
	if err := os.WriteFile(filepath.Join(dir, "homeserver"), []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return dir
}

func TestCommandsOfGuidesWork(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const secret = "HOMESERVER_REGISTRATION_SHARED_SECRET=as secret as it gets"
	d, dir := newcomer(t, secret)
	var all []step
	for _, guide := range guides {
		all = append(all, at(steps(t, guide), d.http, d.https)...)
	}
	environ := []string{
		secret, "PATH=" + commandFolder(t) + ":" + os.Getenv("PATH"),
		"HOMESERVER_LISTEN=" + strings.TrimPrefix(d.http, "http://"),
	}
	var restored string
	for i, o := range runSteps(t, dir, environ, all) {
		all[i].judge(t, o)
		if strings.Contains(all[i].commands, "homeserver restore") {
			restored = o.stdout
		}
	}
	for _, account := range []string{`@alice:localhost +\S+ +administrator`, `@bob:localhost +\S+ +deactivated`, `@carol:localhost +\S+ +user`} {
		if !regexp.MustCompile(account).MatchString(restored) {
			t.Errorf("what was restored has no %s: %s", account, restored)
		}
	}
	d.end(syscall.SIGTERM)
}

// oneBridge returns the setting of a server with an application service, whose metrics exist
// by that.
func oneBridge(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("testdata/bridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return "HOMESERVER_APP_SERVICE_FILES=" + file
}

func TestMetricsInDocumentsAreThoseThatExist(t *testing.T) {
	t.Parallel()
	d := serveFrom(t, t.TempDir(), append(environment(t), "HOMESERVER_METRICS_LISTEN=localhost:0", oneBridge(t))...)
	get(t, d.http+"/health")
	_, page := get(t, regexp.MustCompile(`http://\S+/metrics`).FindString(d.stdout.String()))
	names := func(pattern, text string) []string {
		set := map[string]bool{}
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			set[match[1]] = true
		}
		return slices.Sorted(maps.Keys(set))
	}
	exist := names(`# TYPE (homeserver_\w+)`, page)
	told := names("(?m)^\\| `(homeserver_\\w+)`", readFile(t, repository+operate))
	if !slices.Equal(exist, told) {
		t.Errorf("there are %q, and the document has %q", exist, told)
	}
	d.end(syscall.SIGTERM)
}

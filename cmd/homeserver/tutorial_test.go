package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

const tutorial = "docs/tutorial.md"

// lessons are the documents whose commands are run on a new server each.
var lessons = []string{tutorial, "docs/tutorial-v1.md", "docs/howto.md"}

// longPoll is how long the tutorial's waiting request would wait for nothing.
const longPoll = 30 * time.Second

// newcomer starts a server as nobody has configured it, whose data is in the folder data of the one that is
// returned: the documents' own place.
func newcomer(t *testing.T, environ ...string) (*daemon, string) {
	t.Helper()
	dir := dataFolder(t)
	d := serveFrom(t, filepath.Join(dir, "data"), environ...)
	return d, dir
}

// at returns the steps for a server that is not at its usual addresses.
func at(all []step, plain, secure string) []step {
	addresses := strings.NewReplacer("http://localhost:8008", plain, "https://localhost:8448", secure)
	moved := make([]step, len(all))
	for i, s := range all {
		s.commands = addresses.Replace(s.commands)
		moved[i] = s
	}
	return moved
}

// follow runs the steps and compares.
func follow(t *testing.T, dir string, all []step) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("there are no commands")
	}
	for i, o := range runSteps(t, dir, nil, all) {
		all[i].judge(t, o)
		if strings.Contains(all[i].commands, "timeout=30000") && o.took > longPoll/2 {
			t.Errorf("%s: took %v, so that nothing has woken the request that waits", all[i].place, o.took)
		}
	}
}

func TestLessonsWorkAsTheyAreWritten(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for _, lesson := range lessons {
		t.Run(lesson, func(t *testing.T) {
			t.Parallel()
			d, dir := newcomer(t)
			follow(t, dir, at(steps(t, lesson), d.http, d.https))
			d.end(syscall.SIGTERM)
		})
	}
}

// What the lessons make has names of its own in each, so that they can be followed on one server.
func TestLessonsWorkOneAfterTheOther(t *testing.T) {
	t.Parallel()
	d, dir := newcomer(t)
	for _, lesson := range lessons {
		follow(t, dir, at(steps(t, lesson), d.http, d.https))
	}
	d.end(syscall.SIGTERM)
}

func TestTutorialWorksWithTLS(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	d, dir := newcomer(t)
	all := at(steps(t, tutorial), d.https, d.https)
	curl := regexp.MustCompile(`\bcurl (--cacert \S+ )?`)
	for i := range all {
		all[i].commands = curl.ReplaceAllString(all[i].commands, "curl --cacert data/tls/ca.pem ")
	}
	follow(t, dir, all)
	d.end(syscall.SIGTERM)
}

// An interactive shell replaces what follows a "!" outside of single quotes, and breaks the command.
func TestLessonsAreSafeToPaste(t *testing.T) {
	t.Parallel()
	quoted := regexp.MustCompile(`'[^']*'`)
	for _, lesson := range lessons {
		for _, s := range steps(t, lesson) {
			if strings.Contains(quoted.ReplaceAllString(s.commands, ""), "!") {
				t.Errorf("%s: bash would look for the %q in its history: %s", s.place, "!", s.commands)
			}
		}
	}
}

// A reader who has tried the README's command first has the tutorial's first account already, as the tutorial says.
func TestTutorialGoesOnAfterTheREADME(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const first = `"username":"example","password":"wordpass","auth"`
	var requests []step
	for _, s := range steps(t, "README.md") {
		if strings.Contains(s.commands, "curl ") {
			requests = append(requests, s)
		}
	}
	if len(requests) != 1 || !strings.Contains(requests[0].commands, first) {
		t.Fatalf("the README does not register the first user: %v", requests)
	}
	for _, s := range steps(t, tutorial) {
		if strings.Contains(s.commands, first) {
			s.answers = []any{map[string]any{"errcode": "M_USER_IN_USE", "error": anything}}
		}
		requests = append(requests, s)
	}
	d, dir := newcomer(t)
	follow(t, dir, at(requests, d.http, d.https))
	d.end(syscall.SIGTERM)
}

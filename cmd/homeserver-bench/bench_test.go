package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestNamesAreDifferentAndSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	names := caseNames(false)
	sorted := slices.Sorted(slices.Values(names))
	if len(slices.Compact(sorted)) != len(names) {
		t.Errorf("some are the same: %q", names)
	}
	for _, want := range []string{
		"send/64 into one room", "deliver/one message to 200 waiting", "sync/nothing new", "join/the last 100 of 1000", "encrypt/keys/query for 500 users",
		"size/send, 10000 members", "trivial//versions", "look//members of 1000 members",
		"many/all rooms, members lazily", "first/new events, with an old token", "statistics//messages in old history", "history//messages over 100000 events, in pages of 100", "relations//messages", "memory/idle", "start/on a full database",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is not among %q", want, names)
		}
	}
	if len(caseNames(true)) != len(names) {
		t.Error("a quick run has other cases")
	}
}

func TestChosenCases(t *testing.T) {
	t.Parallel()
	h := &house{size: quick}
	chosen := choose(h.families(), regexp.MustCompile(`^(send/1 into|memory)`))
	var names []string
	for _, f := range chosen {
		for _, c := range f.cases {
			names = append(names, f.key+"/"+c.name)
		}
	}
	if want := []string{"send/1 into 8 rooms", "send/1 into one room", "memory/idle", "memory/200 waiting /sync", "memory/after a load"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestNoSuchCase(t *testing.T) {
	t.Parallel()
	_, err := measure(t.Context(), Options{Only: regexp.MustCompile("nonsense")})
	if err == nil || !strings.Contains(err.Error(), "no case has such a name") {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatDoesNotStartHasLastWords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for want, script := range map[string]string{
		"the sky is falling":         "echo the sky is falling >&2; exit 1",
		"does not say where it is":   "echo '  http://127.0.0.1:1/metrics for Prometheus'",
		"connect to the server":      "printf '  http://127.0.0.1:1\\n  http://127.0.0.1:1/metrics for Prometheus\\n'",
		"HOMESERVER_DATABASE_URL=db": "env >&2",
		"called with serve":          "echo called with $0 >&2",
	} {
		o := Options{Program: []string{"sh", "-c", script}}
		_, err := launch(t.Context(), o, filepath.Join(dir, want), map[string]string{"HOMESERVER_DATABASE_URL": "db"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAProgramThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := launch(t.Context(), Options{Program: []string{"/nonsense"}}, filepath.Join(t.TempDir(), "log"), nil)
	if err == nil || !strings.Contains(err.Error(), "start the server") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsLeftOfARunThatFails(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := t.TempDir()
	for folder := dir; len(folder) > len(os.TempDir()); folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil { // PostgreSQL's own user goes through it
			t.Fatal(err)
		}
	}
	o := Options{Program: []string{"false"}, Dir: dir, Quick: true, Progress: io.Discard}
	if _, err := measure(t.Context(), o); err == nil || !strings.Contains(err.Error(), "send: the server has not started") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}

func TestWordsAreDifferent(t *testing.T) {
	t.Parallel()
	list := strings.Fields(words(1000))
	slices.Sort(list)
	if n := len(slices.Compact(list)); len(list) != 1000 || n < 100 || n > 900 {
		t.Errorf("%d words, of which %d are different", len(list), n)
	}
}

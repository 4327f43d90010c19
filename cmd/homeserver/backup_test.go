package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// backupOf makes a backup with the command, also while a server runs, and returns its folder.
func backupOf(t *testing.T, environ []string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	got := runWith(t, nil, environ, "backup", dir)
	if got.code != exitOK || !strings.Contains(got.stdout, "Backed up localhost to "+dir) || !strings.Contains(got.stderr, "Copying media: done in ") {
		t.Fatalf("got %+v", got)
	}
	return dir
}

// restoredFrom restores a backup in an empty database and a new folder, and returns the environment of a
// server there.
func restoredFrom(t *testing.T, dir string) []string {
	t.Helper()
	environ := environment(t)
	got := runWith(t, nil, environ, "restore", "--keep-sessions", dir)
	if got.code != exitOK || !strings.Contains(got.stdout, "are logged in.") || !strings.Contains(got.stdout, "Restored localhost as it was on 20") {
		t.Fatalf("got %+v", got)
	}
	healthy(t, environ)
	return environ
}

// healthy checks that the doctor finds nothing.
func healthy(t *testing.T, environ []string) {
	t.Helper()
	if got := runWith(t, nil, environ, "doctor"); got.code != exitOK || !strings.Contains(got.stdout, "Nothing is wrong.") || got.stderr != "" {
		t.Errorf("the doctor says: %+v", got)
	}
}

// moved returns the same client for another server.
func moved(t *testing.T, c *matrixtest.Client, r *running) *matrixtest.Client {
	t.Helper()
	other := *c
	other.BaseURL = r.url(t, "http")
	return &other
}

// The server burns down after a backup. On the restored one clients go on with the tokens that they have,
// also those that the lost server gave them after the backup.
func TestClientsGoOnAfterARestore(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	anybody := matrixtest.At(t, r.url(t, "http"), http.DefaultClient)
	alice, bob := anybody.Register("alice", "wordpass"), anybody.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Here"})
	bob.Join(room)
	picture := alice.Do("POST", "/_matrix/media/v3/upload", "a picture").OK().String("content_uri")
	alice.SendText(room, "read before")
	early := alice.Sync("").NextBatch()
	bob.SendText(room, "unread before")
	bob.Do("PUT", matrixtest.Path("user", bob.UserID, "account_data", "org.example.kept"), `{"kept":true}`).OK()

	dir := backupOf(t, environ)

	lostDevice := anybody.Login("bob", "wordpass")
	bob.SendText(room, "lost")
	alice.SetState(room, "m.room.name", "", map[string]any{"name": "Lost"})
	late := alice.Sync(early)
	if got := matrixtest.Bodies(late.Timeline(room)); !slices.Equal(got, []string{"unread before", "lost"}) {
		t.Fatalf("before the loss: %v", got)
	}
	bob.SendText(room, "lost, too")
	r.end(t)

	again := start(t, restoredFrom(t, dir))
	alice, bob = moved(t, alice, again), moved(t, bob, again)
	if got := moved(t, lostDevice, again).Do("GET", "/account/whoami", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("a device of after the backup: %s", got.Body)
	}
	bob.Sync("") // a first one, whatever it holds
	got := alice.Sync(late.NextBatch())
	if len(got.Timeline(room)) > 0 {
		t.Errorf("nothing is new, and /sync shows %v", got.Timeline(room))
	}
	// Alice believes in another name, which was lost: the state is told anew.
	if !slices.ContainsFunc(got.Events("rooms", "join", room, "state", "events"), func(e matrixtest.Event) bool {
		return e.Type == "m.room.name" && e.Content["name"] == "Here"
	}) {
		t.Errorf("/sync does not take back the name: %s", got.Body)
	}
	after := bob.SendText(room, "after")
	checkTimelines(t, alice, room, after, map[string][]string{
		late.NextBatch(): {"after"},
		early:            {"unread before", "after"},
	})
	checkHistory(t, alice, room, late.NextBatch())
	checkSearch(t, alice, bob)
	if got := alice.Do("GET", "/_matrix/client/v1/media/download/"+strings.TrimPrefix(picture, "mxc://"), nil).OK(); string(got.Body) != "a picture" {
		t.Errorf("the picture is %q", got.Body)
	}
	bob.Do("GET", matrixtest.Path("user", bob.UserID, "account_data", "org.example.kept"), nil).OK()
	newest := alice.Sync(late.NextBatch()).NextBatch()
	again.end(t)

	// That one burns down as well, before anybody has made another backup.
	third := start(t, restoredFrom(t, dir))
	alice, bob = moved(t, alice, third), moved(t, bob, third)
	if got := alice.Sync(newest); len(got.Timeline(room)) > 0 {
		t.Errorf("nothing is new, and /sync shows %v", got.Timeline(room))
	}
	after = bob.SendText(room, "after all")
	checkTimelines(t, alice, room, after, map[string][]string{newest: {"after all"}, late.NextBatch(): {"after all"}})
}

// checkTimelines follows /sync from each token until it shows an event, and then once more: each message has
// to come once.
func checkTimelines(t *testing.T, c *matrixtest.Client, room, until string, want map[string][]string) {
	t.Helper()
	for token, messages := range want {
		var got []string
		gather := func(answer *matrixtest.Response) bool {
			got = append(got, matrixtest.Bodies(answer.Timeline(room))...)
			return matrixtest.Shows(room, until)(answer)
		}
		last := c.SyncUntil(token, gather)
		gather(c.Sync(last.NextBatch()))
		if !slices.Equal(got, messages) {
			t.Errorf("from %s: %v, want %v", token, got, messages)
		}
	}
}

// checkHistory reads /messages from a token that the lost server gave, in both directions.
func checkHistory(t *testing.T, c *matrixtest.Client, room, token string) {
	t.Helper()
	for direction, want := range map[string][]string{"b": {"unread before", "read before"}, "f": {"after"}} {
		page := c.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir="+direction+"&from="+token, nil).OK()
		if got := matrixtest.Bodies(page.Events("chunk")); !slices.Equal(got, want) {
			t.Errorf("history in direction %s: %v, want %v", direction, got, want)
		}
	}
}

// checkSearch finds what is from before the backup, and what came after it: followers have crossed the gap.
func checkSearch(t *testing.T, alice, bob *matrixtest.Client) {
	t.Helper()
	for _, word := range []string{"unread", "after"} {
		found := alice.Do("POST", "/search", map[string]any{
			"search_categories": map[string]any{"room_events": map[string]any{"search_term": word}},
		}).OK()
		if n := found.At("search_categories", "room_events", "count"); n != 1.0 {
			t.Errorf("search finds %v messages with %q: %s", n, word, found.Body)
		}
	}
	found := alice.Do("POST", "/user_directory/search", `{"search_term":"bob"}`).OK()
	if found.String("results", 0, "user_id") != bob.UserID {
		t.Errorf("the directory finds %s", found.Body)
	}
}

func TestRestoreIsRefusedWhereAServerIs(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	dir := backupOf(t, environ)
	for _, command := range [][]string{{"restore", dir}, {"doctor", "--repair"}} {
		if got := runWith(t, nil, environ, command...); got.code != exitFailure || !strings.Contains(got.stderr, "stop it first") {
			t.Errorf("%v: got %+v", command, got)
		}
	}
	matrixtest.At(t, r.url(t, "http"), http.DefaultClient).Register("alice", "wordpass")
	r.end(t)
	if got := runWith(t, nil, environ, "restore", dir); got.code != exitFailure || !strings.Contains(got.stderr, "is not empty") {
		t.Errorf("got %+v", got)
	}
	if got := runWith(t, nil, environ, "backup", dir); got.code != exitFailure || !strings.Contains(got.stderr, "never overwritten") {
		t.Errorf("got %+v", got)
	}
}

func TestWrongDataFolderIsToldOf(t *testing.T) {
	t.Parallel()
	environ := environment(t)
	for _, command := range [][]string{{"backup", filepath.Join(t.TempDir(), "backup")}, {"doctor"}} {
		if got := runWith(t, nil, environ, command...); got.code != exitFailure || !strings.Contains(got.stderr, "no server has used the data folder") {
			t.Errorf("%v: got %+v", command, got)
		}
	}
}

func TestBackupNamesMediaThatIsMissing(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	alice := matrixtest.At(t, r.url(t, "http"), http.DefaultClient).Register("alice", "wordpass")
	alice.Do("POST", "/_matrix/media/v3/upload", "a picture").OK()
	data := strings.TrimPrefix(environ[1], "HOMESERVER_DATA_DIR=")
	uploaded, err := filepath.Glob(filepath.Join(data, "media", "content", "*", "*"))
	if err != nil || len(uploaded) != 1 {
		t.Fatalf("found the files %v (%v)", uploaded, err)
	}
	if err := os.Remove(uploaded[0]); err != nil {
		t.Fatal(err)
	}
	got := runWith(t, nil, environ, "backup", filepath.Join(t.TempDir(), "backup"))
	if got.code != exitOK || !strings.Contains(got.stderr, filepath.Base(uploaded[0])+" was missing or damaged") {
		t.Errorf("got %+v", got)
	}
	examined := runWith(t, nil, environ, "doctor")
	if examined.code != exitFailure || !strings.Contains(examined.stdout, "WRONG     Media: files\n") ||
		!strings.Contains(examined.stdout, filepath.Base(uploaded[0])+" is missing") || !strings.Contains(examined.stderr, "wrong: 1, repaired: 0") {
		t.Errorf("got %+v", examined)
	}
	got = runWith(t, nil, restoredFromDamaged(t, got), "doctor")
	if got.code != exitFailure {
		t.Errorf("after the restore: %+v", got)
	}
}

// restoredFromDamaged restores the backup that an output names.
func restoredFromDamaged(t *testing.T, made result) []string {
	t.Helper()
	environ := environment(t)
	dir := regexp.MustCompile(`to (\S+):`).FindStringSubmatch(made.stdout)[1]
	if got := runWith(t, nil, environ, "restore", dir); got.code != exitOK || !strings.Contains(got.stderr, "was missing or damaged") {
		t.Errorf("got %+v", got)
	}
	return environ
}

func TestDoctorRepairs(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	alice := matrixtest.At(t, r.url(t, "http"), http.DefaultClient).Register("alice", "wordpass")
	alice.CreateRoom(nil)
	r.end(t)
	healthy(t, environ)
	data := strings.TrimPrefix(environ[1], "HOMESERVER_DATA_DIR=")
	stray := filepath.Join(data, "media", "content", "ab", strings.Repeat("cd", 31))
	if err := os.MkdirAll(filepath.Dir(stray), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stray, []byte("nobody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runWith(t, nil, environ, "doctor"); got.code != exitFailure || !strings.Contains(got.stdout, "belongs to nothing\n") {
		t.Errorf("got %+v", got)
	}
	got := runWith(t, nil, environ, "doctor", "--repair")
	if got.code != exitOK || !strings.Contains(got.stdout, "belongs to nothing (repaired)\n") || !strings.Contains(got.stdout, "Wrong: 1. All repaired.\n") {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	healthy(t, environ)
}

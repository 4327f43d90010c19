package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// positionOf returns the position that a token of /sync stands for.
func positionOf(t *testing.T, token string) int {
	t.Helper()
	digits := strings.TrimPrefix(token, "s")
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		t.Fatalf("no token of /sync: %q", token)
	}
	return n
}

// testReset changes a server, sets it back, and looks whether all is as at the start. It does so several times: the first
// time may be another way.
func testReset(t *testing.T, d *devProcess, room string) {
	t.Helper()
	alice := d.client(t, 0)
	alice.UserID = d.Users[0].UserID
	history := func() (ids []string) {
		if room == "" {
			return nil
		}
		all := alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "messages")+"?dir=f&limit=100", nil).OK()
		for i := 0; all.At("chunk", i) != nil; i++ {
			ids = append(ids, all.At("chunk", i, "event_id").(string))
		}
		return ids
	}
	first, position := history(), -1
	for range 3 {
		since := alice.Sync("").NextBatch()
		if at := positionOf(t, since); at <= position {
			t.Errorf("after a reset the position is %d, and was %d", at, position)
		}
		made := alice.CreateRoom(map[string]any{"preset": "public_chat"})
		alice.SendText(made, "to be forgotten")
		if room != "" {
			alice.SendText(room, "to be forgotten")
		}
		d.client(t, -1).Register("later", "wordpass")
		after := alice.Sync(since)
		position = positionOf(t, after.NextBatch())

		// A poll that waits is answered.
		waiting := make(chan *matrixtest.Response, 1)
		go func() { waiting <- alice.Sync(after.NextBatch(), "timeout", "60000") }()
		d.client(t, -1).Do(http.MethodPost, "/_homeserver/dev/reset", nil).OK()
		if answer := <-waiting; answer.Status != http.StatusOK || answer.At("rooms", "join", made) != nil {
			t.Errorf("the poll got %d: %s", answer.Status, answer.Body)
		}

		alice.Do(http.MethodGet, "/account/whoami", nil).OK()
		alice.Do(http.MethodGet, matrixtest.Path("rooms", made, "state"), nil).Refused(http.StatusForbidden, "M_FORBIDDEN")
		d.client(t, -1).Do(http.MethodGet, "/register/available?username=later", nil).OK()
		matrixtest.Equal(t, "the events of the room", history(), first)
	}
}

func TestResetBringsTheUsersBack(t *testing.T) {
	t.Parallel()
	testReset(t, startDev(t, `exec "$0" "$@"`, "--user", "alice:wordpass"), "")
}

func TestResetBringsTheSeedBack(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seed.yaml")
	seed := "users: [{name: bob}]\nrooms: [{id: lobby, preset: public_chat, creator: bob, members: [alice], messages: [{sender: bob, body: hello}, {sender: bob, body: \"searched {n}\", repeat: 2000}]}]\n"
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, `exec "$0" "$@"`, "--user", "alice:wordpass", "--seed", file)
	testReset(t, d, d.Rooms[0].RoomID)
	for range 3 { // at once after a reset
		d.client(t, -1).Do(http.MethodPost, "/_homeserver/dev/reset", nil).OK()
		found := d.client(t, 0).Do(http.MethodPost, "/search", `{"search_categories":{"room_events":{"search_term":"searched"}}}`).OK()
		if n := found.At("search_categories", "room_events", "count"); n != 2000.0 {
			t.Errorf("%v of 2000 messages are found", n)
		}
		people := d.client(t, 0).Do(http.MethodPost, "/user_directory/search", `{"search_term":"bob"}`).OK()
		if people.At("results", 0, "user_id") != "@bob:localhost" {
			t.Errorf("bob is not found: %s", people.Body)
		}
	}
	picture := []byte("\x89PNG\r\n\x1a\n")
	uri := d.client(t, 0).Do(http.MethodPost, "/_matrix/media/v3/upload", picture).OK().String("content_uri")
	d.client(t, -1).Do(http.MethodPost, "/_homeserver/dev/reset", nil).OK()
	path := "/_matrix/client/v1/media/download/" + strings.TrimPrefix(uri, "mxc://")
	d.client(t, 0).Do(http.MethodGet, path, nil).Refused(http.StatusNotFound, "M_NOT_FOUND")
}

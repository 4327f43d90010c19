package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"homeserver/internal/devkit"
	"homeserver/internal/matrixtest"
)

func TestDevBeginsWithTheUsersAndRoomsOfASeed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seed.yaml")
	seed := `
users:
  - {name: bob, password: builder, devices: [{id: PHONE, access_token: bobs}]}
rooms:
  - {id: lobby, alias: lobby, name: Lobby, preset: public_chat, creator: bob, members: [alice], messages: [{sender: alice, body: hello}]}
`
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, `exec "$0" "$@"`, "--user", "alice:wordpass", "--seed", file)
	if got := (devkit.User{UserID: "@bob:localhost", DeviceID: "PHONE", AccessToken: "bobs", Password: "builder"}); len(d.Users) != 2 || d.Users[1] != got {
		t.Errorf("the users are %+v", d.Users)
	}
	if len(d.Rooms) != 1 || d.Rooms[0].ID != "lobby" || d.Rooms[0].Alias != "#lobby:localhost" || d.Rooms[0].Name != "Lobby" {
		t.Fatalf("the rooms are %+v", d.Rooms)
	}
	last := d.client(t, 1).Do(http.MethodGet, matrixtest.Path("rooms", d.Rooms[0].RoomID, "messages")+"?dir=b&limit=1", nil).OK()
	if last.At("chunk", 0, "content", "body") != "hello" || last.At("chunk", 0, "sender") != "@alice:localhost" {
		t.Errorf("the last event is %s", last.Body)
	}
}

func TestDevRefusesASeedBeforeItStartsAnything(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(file, []byte("users:\n  - {name: bob}\nroom: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runArgs(t, "dev", "--listen", "localhost:0", "--seed", file)
	if got.code != exitFailure || !strings.Contains(got.stderr, "seed.yaml:3: room: is not a known key; known here are now, rooms, users") {
		t.Errorf("got %+v", got)
	}
}

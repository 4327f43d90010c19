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

// The example of the document is what its text says.
func TestSeedOfTheDocumentIsLoaded(t *testing.T) {
	t.Parallel()
	var example string
	for _, b := range blocks(t, "docs/testing-clients.md") {
		if b.language == "yaml" && strings.Contains(b.text, "creator:") {
			example = b.text
		}
	}
	file := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, `exec "$0" "$@"`, "--seed", file)
	rooms := map[string]string{}
	for _, r := range d.Rooms {
		rooms[r.ID] = r.RoomID
	}
	alice := d.client(t, 0)
	if alice.Token != "alice-token" || len(rooms) != 3 {
		t.Fatalf("alice has the token %s, and the rooms are %v", alice.Token, rooms)
	}
	in := alice.Sync("").OK()
	lobby := in.At("rooms", "join", rooms["lobby"])
	if lobby == nil || in.At("rooms", "join", rooms["chat"]) == nil || in.At("rooms", "join", rooms["space"]) == nil {
		t.Fatalf("alice is not in all rooms: %s", in.Body)
	}
	last := in.At("rooms", "join", rooms["lobby"], "timeline", "events").([]any)
	if body := last[len(last)-1].(map[string]any)["content"].(map[string]any)["body"]; body != "message 200" {
		t.Errorf("the last message is %v", body)
	}
	of := func(path ...string) *matrixtest.Response {
		t.Helper()
		return alice.Do(http.MethodGet, matrixtest.Path(path...), nil).OK()
	}
	if got := of("user", "@alice:localhost", "rooms", rooms["lobby"], "tags").At("tags", "m.favourite", "order"); got != 0.5 {
		t.Errorf("the order of the tag is %v", got)
	}
	marker := of("user", "@alice:localhost", "rooms", rooms["lobby"], "account_data", "m.fully_read").At("event_id")
	plan := of("rooms", rooms["lobby"], "event", marker.(string))
	if plan.At("content", "body") != "The plan" || plan.At("unsigned", "m.relations", "m.replace", "content", "m.new_content", "body") != "The new plan" ||
		plan.At("unsigned", "m.relations", "m.thread", "count") != 1.0 {
		t.Errorf("the event that alice has read up to is %s", plan.Body)
	}
	if got := of("user", "@alice:localhost", "account_data", "m.direct").At("@bob:localhost", 0); got != rooms["chat"] {
		t.Errorf("the direct chat with bob is %v", got)
	}
	of("rooms", rooms["chat"], "state", "m.room.encryption")
	of("rooms", rooms["space"], "state", "m.space.child", rooms["lobby"])
	if got := of("rooms", rooms["lobby"], "state", "m.room.member", "@carol:localhost").At("membership"); got != "invite" {
		t.Errorf("carol's membership is %v", got)
	}
	if got := of("rooms", rooms["lobby"], "state", "m.room.power_levels").At("users", "@bob:localhost"); got != 50.0 {
		t.Errorf("bob's power is %v", got)
	}
}

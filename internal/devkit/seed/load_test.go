package seed_test

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/devkit/seed"
	"homeserver/internal/matrixtest"
)

func TestUsersAndRoomsWithMessagesAreThereFromTheStart(t *testing.T) {
	t.Parallel()
	s := start(t, read(t, `
users:
  - name: alice
    password: wonderland
    admin: true
    displayname: Alice
    devices:
      - {id: PHONE, name: Alice's phone, access_token: alice-token}
      - {id: LAPTOP}
  - name: bob
rooms:
  - id: lobby
    alias: lobby
    name: The lobby
    topic: Come in
    preset: public_chat
    creator: alice
    members: [bob]
    messages:
      - {sender: alice, body: hello, at: 2d}
      - {sender: bob, body: hi}
      - {sender: bob, body: "number {n}", at: 1h, repeat: 3, every: 10m}
`))
	alice := s.as("@alice:localhost")
	if alice.Token != "alice-token" || alice.DeviceID != "PHONE" {
		t.Errorf("alice is on %s with %s", alice.DeviceID, alice.Token)
	}
	if n := len(s.loaded.Users); n != 3 {
		t.Errorf("%d devices, want the two of alice and one of bob", n)
	}
	s.Login("alice", "wonderland")
	room := s.room("lobby")
	if got := alice.Do(http.MethodGet, "/directory/room/%23lobby:localhost", nil).OK().At("room_id"); got != room {
		t.Errorf("the alias points to %v, want %s", got, room)
	}
	if got := alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "joined_members"), nil).OK().At("joined", "@alice:localhost", "display_name"); got != "Alice" {
		t.Errorf("alice is shown as %v", got)
	}
	history := s.as("@bob:localhost").Do(http.MethodGet, matrixtest.Path("rooms", room, "messages")+"?dir=f&filter=%7B%22types%22:[%22m.room.message%22]%7D", nil).OK()
	want := []struct {
		body string
		ago  time.Duration
	}{{"hello", 48 * time.Hour}, {"hi", 48 * time.Hour}, {"number 1", time.Hour}, {"number 2", 50 * time.Minute}, {"number 3", 40 * time.Minute}}
	for i, w := range want {
		if body := history.At("chunk", i, "content", "body"); body != w.body {
			t.Errorf("message %d is %v, want %q", i, body, w.body)
		}
		ts, _ := history.At("chunk", i, "origin_server_ts").(float64)
		if off := time.Since(time.UnixMilli(int64(ts))) - w.ago; off < -time.Second || off > time.Minute {
			t.Errorf("message %q was sent %v before or after its time", w.body, off)
		}
	}
	if got := history.At("chunk", len(want)); got != nil {
		t.Errorf("there is more: %v", got)
	}
	created := alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "state"), nil).OK()
	for i := 0; created.At(i) != nil; i++ {
		ts, _ := created.At(i, "origin_server_ts").(float64)
		if age := time.Since(time.UnixMilli(int64(ts))); age < 47*time.Hour {
			t.Errorf("the state %v is %v old, and the first message two days", created.At(i, "type"), age)
		}
	}
}

func TestMembershipsStateAndFilesAreLoaded(t *testing.T) {
	t.Parallel()
	path := write(t, `
users:
  - {name: alice, avatar: dot.png, account_data: {m.ignored_user_list: {ignored_users: {"@zed:elsewhere": {}}}}}
  - {name: bob}
  - {name: carol}
  - {name: dan}
  - {name: eve}
rooms:
  - id: room
    creator: alice
    avatar: dot.png
    state:
      - {type: m.room.join_rules, content: {join_rule: knock}}
      - {type: com.example, state_key: k, sender: bob, content: {n: 1, list: [a, true, null]}}
    power_levels: {state_default: 0}
    members:
      - bob
      - {user: carol, membership: leave, by: alice, reason: enough, at: 3h}
      - {user: dan, membership: ban}
      - {user: eve, membership: knock}
    messages:
      - {id: wrong, sender: bob, body: oops}
      - {sender: bob, redact: wrong, reason: typo}
      - {sender: alice, file: dot.png}
      - {sender: alice, file: notes.txt, body: my notes}
    account_data: {bob: {com.example: {seen: true}}}
`)
	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"dot.png": dot.Bytes(), "notes.txt": []byte("notes")} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := seed.Read(path, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, data)
	alice, room := s.as("@alice:localhost"), s.room("room")
	state := func(typ, key string) *matrixtest.Response {
		t.Helper()
		return alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "state", typ, key), nil).OK()
	}
	for user, want := range map[string]string{"bob": "join", "carol": "leave", "dan": "ban", "eve": "knock"} {
		if got := state("m.room.member", "@"+user+":localhost").At("membership"); got != want {
			t.Errorf("%s has membership %v, want %s", user, got, want)
		}
	}
	if got := state("m.room.member", "@carol:localhost").At("reason"); got != "enough" {
		t.Errorf("carol was removed because of %v", got)
	}
	if got := state("com.example", "k"); got.At("n") != 1.0 || got.At("list", 1) != true {
		t.Errorf("bob's state is %s", got.Body)
	}
	if got := state("m.room.member", "@alice:localhost").At("avatar_url"); got == nil {
		t.Error("alice has no picture in the room")
	}
	history := alice.Do(http.MethodGet, matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=4", nil).OK()
	if file := history.At("chunk", 0, "content"); file.(map[string]any)["msgtype"] != "m.file" || file.(map[string]any)["body"] != "my notes" {
		t.Errorf("the notes are %v", file)
	}
	picture := func(path ...any) any { return history.At(append([]any{"chunk", 1, "content"}, path...)...) }
	if picture("msgtype") != "m.image" || picture("body") != "dot.png" || picture("info", "w") != 3.0 || picture("info", "mimetype") != "image/png" {
		t.Errorf("the picture is %v", history.At("chunk", 1))
	}
	uri, _ := picture("url").(string)
	alice.Do(http.MethodGet, "/_matrix/client/v1/media/download/"+strings.TrimPrefix(uri, "mxc://"), nil).OK()
	if history.At("chunk", 3, "content", "body") != nil || history.At("chunk", 3, "unsigned", "redacted_because", "content", "reason") != "typo" {
		t.Errorf("the message that was taken back is %v", history.At("chunk", 3))
	}
	s.as("@bob:localhost").Do(http.MethodGet, matrixtest.Path("user", "@bob:localhost", "rooms", room, "account_data", "com.example"), nil).OK()
	alice.Do(http.MethodGet, matrixtest.Path("user", "@alice:localhost", "account_data", "m.ignored_user_list"), nil).OK()
}

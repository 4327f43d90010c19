package seed_test

import (
	"net/http"
	"testing"
	"time"

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

package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
)

func TestWhatSomebodyHasNotSetIsNullAndNotAbsent(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	same := func(got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	device := alice.Do("GET", matrixtest.Path("devices", alice.DeviceID), nil).OK()
	same(device.At(), map[string]any{
		"device_id": alice.DeviceID, "display_name": nil,
		"last_seen_ip": device.At("last_seen_ip"), "last_seen_ts": device.At("last_seen_ts"),
	})
	same(alice.Do("GET", "/devices", nil).OK().At(), map[string]any{"devices": []any{device.At()}})

	nameless := map[string]any{"display_name": nil, "avatar_url": nil}
	members := alice.Do("GET", matrixtest.Path("rooms", room, "joined_members"), nil).OK()
	same(members.At("joined"), map[string]any{alice.UserID: nameless, bob.UserID: nameless})

	found := alice.Do("POST", "/user_directory/search", `{"search_term":"bob"}`).OK()
	same(found.At("results"), []any{map[string]any{"user_id": bob.UserID, "display_name": nil, "avatar_url": nil}})

	alice.Do("POST", "/pushers/set", pusher(map[string]any{"profile_tag": ""})).OK()
	same(alice.Do("GET", "/pushers", nil).OK().At("pushers", 0, "profile_tag"), "")
}

package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// wantMutual checks that all rooms are on one page.
func wantMutual(t *testing.T, answer *matrixtest.Response, rooms ...string) {
	t.Helper()
	var got struct {
		Joined []string `json:"joined"`
		Count  int      `json:"count"`
	}
	answer.Into(&got)
	slices.Sort(got.Joined)
	slices.Sort(rooms)
	if diff := cmp.Diff(rooms, got.Joined); diff != "" || got.Count != len(rooms) {
		t.Errorf("%d rooms (-want +got): %s", got.Count, diff)
	}
	if answer.At("joined") == nil || answer.At("next_batch") != nil {
		t.Errorf("answer: %s", answer.Body)
	}
}

func TestMutualRooms(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	second := alice.CreateRoom(openRoom)
	bob.Join(second)
	alice.CreateRoom(openRoom)
	bob.CreateRoom(nil)
	alice.CreateRoom(map[string]any{"invite": []string{bob.UserID}})
	ended := alice.CreateRoom(openRoom)
	bob.Join(ended)
	bob.Do("POST", matrixtest.Path("rooms", ended, "leave"), nil).OK()
	for _, path := range []string{"/_matrix/client/v1/mutual_rooms", "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms"} {
		get := func(c *matrixtest.Client, query string) *matrixtest.Response { return c.Do("GET", path+"?"+query, nil) }
		wantMutual(t, get(alice, "user_id="+bob.UserID).OK(), room, second)
		wantMutual(t, get(bob, "user_id="+url.QueryEscape(alice.UserID)).OK(), room, second)
		for _, nobody := range []string{"@nobody:localhost", "@somebody:elsewhere.example"} {
			if answer := get(alice, "user_id="+nobody).OK(); answer.At("count") != 0.0 || answer.At("joined") == nil {
				t.Errorf("%s: %s", nobody, answer.Body)
			}
		}
		get(alice, "").Refused(400, "M_MISSING_PARAM")
		for _, query := range []string{
			"user_id=" + alice.UserID, "user_id=bob", "user_id=@bob", "user_id=" + url.QueryEscape("@büb:localhost"), "user_id=@:localhost",
			"user_id=" + bob.UserID + "&user_id=@carol:localhost",
		} {
			get(alice, query).Refused(400, "M_INVALID_PARAM")
		}
		for _, token := range []string{"x", "r", "r0", "r-1", "r01", "s5", "r99999999999999999999"} {
			get(alice, "user_id="+bob.UserID+"&from="+token).Refused(400, "M_INVALID_PARAM")
		}
		last := get(alice, "user_id="+bob.UserID+"&from=r999999").OK()
		if last.At("count") != 2.0 || len(last.At("joined").([]any)) != 0 {
			t.Errorf("after the last: %s", last.Body)
		}
	}
	get := newGuest(alice)
	get.Do("GET", "/_matrix/client/v1/mutual_rooms?user_id="+alice.UserID, nil).Refused(403, "M_GUEST_ACCESS_FORBIDDEN")
}

func TestMutualRoomsPageByPage(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	anyone := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	const copies = 1500
	_, err := pool.Exec(t.Context(), `
		WITH r AS (SELECT room_nid FROM rooms WHERE room_id = $1), copied AS (
			INSERT INTO rooms (room_nid, room_id, version, heads, depth, joined_members, invited_members, turn)
			SELECT room_nid + n, room_id || n, version, heads, depth, joined_members, invited_members, turn
			FROM rooms NATURAL JOIN r, generate_series(1, $2) n)
		INSERT INTO room_state (room_nid, type, state_key, event_nid, place, replaced_at, value)
		SELECT room_nid + n, type, state_key, event_nid, place, replaced_at, value
		FROM room_state NATURAL JOIN r, generate_series(1, $2) n`, room, copies)
	if err != nil {
		t.Fatal(err)
	}
	for path, names := range map[string][2]string{
		"/_matrix/client/v1/mutual_rooms":                                 {"from", "next_batch"},
		"/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms": {"batch_token", "next_batch_token"},
	} {
		var sizes []int
		seen := map[any]bool{}
		for token := "first"; token != ""; {
			query := path + "?user_id=" + bob.UserID
			if token != "first" {
				query += "&" + names[0] + "=" + token
			}
			page := alice.Do("GET", query, nil).OK()
			joined, _ := page.At("joined").([]any)
			for _, id := range joined {
				seen[id] = true
			}
			sizes = append(sizes, len(joined))
			if page.At("count") != float64(copies+1) {
				t.Errorf("count: %v", page.At("count"))
			}
			token, _ = page.At(names[1]).(string)
		}
		if diff := cmp.Diff([]int{1000, 501}, sizes); diff != "" || len(seen) != copies+1 {
			t.Errorf("%d rooms on pages of %s", len(seen), fmt.Sprint(sizes))
		}
	}
}

package api

import (
	"fmt"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestTimestampToEvent(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	id := alice.SendText(room, "found")
	ts := int64(alice.Do("GET", matrixtest.Path("rooms", room, "event", id), nil).OK().At("origin_server_ts").(float64))
	for _, prefix := range []string{"/_matrix/client/v1", "/_matrix/client/unstable/org.matrix.msc3030"} {
		path := prefix + matrixtest.Path("rooms", room, "timestamp_to_event")
		get := func(query string) *matrixtest.Response { return bob.Do("GET", path+"?"+query, nil) }
		found := get(fmt.Sprintf("dir=b&ts=%d", ts+1_000_000)).OK()
		if found.String("event_id") != id || found.At("origin_server_ts") != float64(ts) {
			t.Errorf("%s: %s", prefix, found.Body)
		}
		around := bob.Do("GET", matrixtest.Path("rooms", room, "context", found.String("event_id")), nil).OK()
		if around.Event("event").Body() != "found" || around.String("start") == "" {
			t.Errorf("its context: %s", around.Body)
		}
		if first := get("dir=f&ts=0").OK(); first.String("event_id") == id {
			t.Errorf("the first event is %s", first.Body)
		}
		get(fmt.Sprintf("dir=f&ts=%d", ts+1_000_000)).Refused(404, "M_NOT_FOUND")
		get("dir=b&ts=-1").Refused(404, "M_NOT_FOUND")
		for _, query := range []string{"", "dir=f", "ts=1", "dir=&ts=1", "dir=f&ts="} {
			get(query).Refused(400, "M_MISSING_PARAM")
		}
		for _, query := range []string{"dir=x&ts=1", "dir=f&ts=now", "dir=f&ts=1.5", "dir=f&ts=99999999999999999999"} {
			get(query).Refused(400, "M_INVALID_PARAM")
		}
	}
	secret := alice.CreateRoom(nil)
	for _, other := range []string{secret, "!nowhere:localhost"} {
		bob.Do("GET", "/_matrix/client/v1"+matrixtest.Path("rooms", other, "timestamp_to_event")+"?dir=f&ts=1", nil).Refused(403, "M_FORBIDDEN")
	}
	bob.Do("GET", "/_matrix/client/v1/rooms/nonsense/timestamp_to_event?dir=f&ts=1", nil).Refused(400, "M_INVALID_PARAM")
}

// Application services say when events were made, as they bring in history of elsewhere.
func TestTimestampToEventOfApplicationServices(t *testing.T) {
	t.Parallel()
	c := newServerWith(t, ircFile)
	irc, alice := asService(c, "irc-as-token"), c.Register("alice", "wordpass")
	carl := ghost(irc, "irc_carl")
	room := irc.Do("POST", as("/createRoom", carl), `{"preset":"public_chat"}`).OK().String("room_id")
	alice.Join(room)
	made := map[int]string{}
	for i, ts := range []int{5000, 3000, 4000, 9_007_199_254_740_991} {
		path := as(matrixtest.Path("rooms", room, "send", "m.room.message", fmt.Sprint("t", i)), carl)
		made[ts] = irc.Do("PUT", path+fmt.Sprint("&ts=", ts), `{"msgtype":"m.text","body":"old"}`).OK().String("event_id")
	}
	for query, want := range map[string]int{
		"dir=f&ts=0": 3000, "dir=f&ts=3001": 4000, "dir=f&ts=4000": 4000, "dir=b&ts=4999": 4000, "dir=b&ts=5001": 5000,
		"dir=b&ts=9007199254740992": 9_007_199_254_740_991,
	} {
		answer := alice.Do("GET", "/_matrix/client/v1"+matrixtest.Path("rooms", room, "timestamp_to_event")+"?"+query, nil).OK()
		if answer.String("event_id") != made[want] || answer.At("origin_server_ts") != float64(want) {
			t.Errorf("%s: got %s, want the event of %d", query, answer.Body, want)
		}
	}
}

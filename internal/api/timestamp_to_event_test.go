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

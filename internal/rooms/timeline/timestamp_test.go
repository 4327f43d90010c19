package timeline_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

// setTime has an event say that it was made at another time, as those of application
// services may.
func (h *env) setTime(id string, ts int64) {
	h.T.Helper()
	_, err := h.Pool.Exec(h.T.Context(), `UPDATE events SET origin_server_ts = $2 WHERE event_id = $1`, id, ts)
	h.OK(err)
}

// timed is an event of a room with its time.
type timed struct {
	id    string
	place timeline.Place
	ts    int64
}

// timesIn lists what a user may read of a room by time.
func (h *env) timesIn(user, room string) (list []timed) {
	h.T.Helper()
	for _, e := range h.History(user, room) {
		at := timed{e.ID, e.Place, 0}
		h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT coalesce(origin_server_ts, origin_server_ts_in(json)) FROM events WHERE event_id = $1`, e.ID).Scan(&at.ts))
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b timed) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.place, b.place)) })
	return list
}

// wantTimes compares what is found at and around each time with the list of all.
func (h *env) wantTimes(user, room string) {
	h.T.Helper()
	list := h.timesIn(user, room)
	for _, at := range list {
		for _, ts := range []int64{at.ts - 1, at.ts, at.ts + 1} {
			after := slices.IndexFunc(list, func(e timed) bool { return e.ts >= ts })
			before := len(list) - 1
			for before >= 0 && list[before].ts > ts {
				before--
			}
			h.wantAt(user, room, ts, false, list, after)
			h.wantAt(user, room, ts, true, list, before)
		}
	}
}

func (h *env) wantAt(user, room string, ts int64, backward bool, list []timed, want int) {
	h.T.Helper()
	got, err := h.Rooms.Timeline.For(user).EventAtTime(h.T.Context(), room, ts, backward)
	if want < 0 {
		matrixtest.WantCode(h.T, err, matrix.NotFound)
		return
	}
	h.OK(err)
	if *got != (timeline.AtTime{EventID: list[want].id, OriginServerTS: list[want].ts}) {
		h.T.Errorf("%s at %d, backward %v: got %+v, want %+v", user, ts, backward, got, list[want])
	}
}

func TestEventAtTime(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(bob), h.Public(bob)
	for i := range 10 {
		id := h.Send(alice, room, fmt.Sprint(i))
		if i > 5 { // all others are of now, in the order in which they were sent
			h.setTime(id, int64(1000*(100-i)))
		}
		h.Send(alice, other, "elsewhere")
	}
	for range 2 {
		h.setTime(h.Send(alice, room, "at one time"), 96_500)
	}
	h.setTime(h.Send(alice, room, "of the future"), math.MaxInt64>>12)
	h.setTime(h.Send(alice, room, "of the beginning"), 0)
	h.wantTimes(alice, room)
	h.wantTimes(bob, other)
}

func TestEventAtTimeIsOneThatTheReaderMaySee(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	number := int64(0)
	send := func() {
		for range 3 {
			number++
			h.setTime(h.Send(alice, room, fmt.Sprint(number)), 1000*number)
		}
	}
	for range 2 {
		send()
		h.Join(bob, room)
		send()
		h.Leave(bob, room)
	}
	send()
	h.setTime(h.Send(alice, room, "made when bob was there, and came later"), 4500)
	h.wantTimes(alice, room)
	h.wantTimes(bob, room)

	secret := h.Create(alice, rooms.CreateRequest{})
	_, err := h.Rooms.Timeline.For(bob).EventAtTime(t.Context(), secret, 0, false)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	_, err = h.Rooms.Timeline.For(bob).EventAtTime(t.Context(), "!nowhere:localhost", 0, false)
	matrixtest.WantCode(t, err, matrix.Forbidden)
	_, err = h.Rooms.Timeline.For(bob).EventAtTime(t.Context(), "nothing", 0, false)
	matrixtest.WantCode(t, err, matrix.InvalidParam)
}

// A reader who came after many events gets the first that is readable, without a look at
// all of them.
func TestEventAtTimeBehindMoreThanAreTried(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
	h.Send(alice, room, "copied")
	_, err := h.Pool.Exec(t.Context(), `
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url, origin_server_ts)
		SELECT -n, -n, e.place - n, e.room_nid, e.event_id || n, e.type, e.sender, e.json, false, 1
		FROM events e, generate_series(1, 900) n WHERE e.event_nid = (SELECT max(event_nid) FROM events)`)
	h.OK(err)
	_, err = h.Pool.Exec(t.Context(), `
		INSERT INTO events (event_nid, position, place, room_nid, event_id, type, sender, json, has_url, origin_server_ts)
		SELECT e.event_nid - 1000 * n, e.position - 1000 * n, e.place, e.room_nid, e.event_id || '_' || n, e.type, e.sender, e.json, false, 1
		FROM events e, generate_series(1, 6) n WHERE e.event_nid < 0`)
	h.OK(err)
	h.Join(bob, room)
	first := h.Event(alice, room, h.Send(alice, room, "first"))
	h.Leave(bob, room)
	got, err := h.Rooms.Timeline.For(bob).EventAtTime(t.Context(), room, 1, false)
	h.OK(err)
	if got.OriginServerTS > first.OriginServerTS || got.OriginServerTS < 1000 {
		t.Errorf("got %+v", got)
	}
	_, err = h.Rooms.Timeline.For(bob).EventAtTime(t.Context(), room, 1, true)
	matrixtest.WantCode(t, err, matrix.NotFound)
}

// Events that were stored before their times were are found by the time in their JSON.
func TestTimesOfEarlierEventsAreInTheirJSON(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	for i := range 5 {
		h.SendEvent(alice, room, "m.room.message", fmt.Sprintf(`{"body":"%d \"origin_server_ts\":7","msgtype":"m.text","origin_server_ts":3}`, i))
	}
	h.Redact(alice, room, h.Send(alice, room, "gone"), "")
	var wrong int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE origin_server_ts_in(json) IS DISTINCT FROM origin_server_ts`).Scan(&wrong))
	if wrong > 0 {
		t.Errorf("%d times are others in the JSON", wrong)
	}
	_, err := h.Pool.Exec(t.Context(), `UPDATE events SET origin_server_ts = NULL`)
	h.OK(err)
	h.wantTimes(bob, room)
}

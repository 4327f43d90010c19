package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func (h *env) tryRedact(user, room, id string) error {
	_, err := h.Rooms.Redact(h.T.Context(), roomstest.As(user, room), id, "")
	return err
}

func TestRedactionTakesTheContentAway(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		h.Join(bob, room)
		id := h.Send(bob, room, "a secret")
		redaction := h.Redact(bob, room, id, "oops")
		for _, e := range h.History(alice, room) {
			if strings.Contains(string(e.Content()), "secret") {
				t.Errorf("version %d: %s still has it", version, e.ID)
			}
		}
		whole, unsigned := shown(t, &timeline.Format{WithRoomID: true}, h.Event(alice, room, id))
		var because roomstest.Object
		h.OK(unmarshal(unsigned["redacted_because"], &because))
		for field, want := range map[string]string{
			string(whole["content"]): `{}`, string(whole["sender"]): `"` + bob + `"`, string(whole["type"]): `"m.room.message"`,
			string(because["event_id"]): `"` + redaction + `"`, string(because["type"]): `"m.room.redaction"`,
			string(because["redacts"]): `"` + id + `"`, string(because["sender"]): `"` + bob + `"`,
		} {
			if field != want {
				t.Errorf("version %d: got %s, want %s", version, field, want)
			}
		}
		if want := `{"reason":"oops","redacts":"` + id + `"}`; !roomstest.SameJSON(string(because["content"]), want) {
			t.Errorf("version %d: the redaction has %s, want %s", version, because["content"], want)
		}
		checkChain(t, h, room)
	})
}

func TestRedactedBytesAreGoneFromTheDatabase(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "sesame")
	h.Redact(alice, room, id, "")
	var left int
	h.OK(h.Pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE position(convert_to('sesame', 'UTF8') IN json) > 0`).Scan(&left))
	if left != 0 {
		t.Errorf("%d events still have it", left)
	}
	h.Event(alice, room, id) // the redacted form can be read
}

func TestWhoMayRedact(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		for _, user := range []string{bob, carol} {
			h.Join(user, room)
		}
		of := map[string]string{alice: h.Send(alice, room, "1"), bob: h.Send(bob, room, "2"), carol: h.Send(carol, room, "3")}
		want := func(who, whose string, code matrix.Code) {
			t.Helper()
			matrixtest.WantCode(t, h.tryRedact(who, room, of[whose]), code, fmt.Sprintf("version %d: %s redacts an event of %s", version, who, whose))
		}
		want(bob, bob, "")
		want(bob, carol, matrix.Forbidden)
		want(bob, alice, matrix.Forbidden)
		want(dave, carol, matrix.NotFound) // the answer does not show that there is one
		want(alice, carol, "")
		want(alice, carol, "") // again
		h.Leave(carol, room)
		want(carol, carol, matrix.Forbidden)
	})
}

func TestRedactionNeedsItsOwnPower(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", PowerLevels: roomstest.Object{
		"events": roomstest.Raw(map[string]int{event.TypeRedaction: 20}), "redact": roomstest.Raw(10),
		"users": roomstest.Raw(map[string]int{bob: 20, carol: 10}),
	}})
	h.Join(bob, room)
	h.Join(carol, room)
	mine, theirs := h.Send(carol, room, "mine"), h.Send(alice, room, "theirs")
	matrixtest.WantCode(t, h.tryRedact(carol, room, mine), matrix.Forbidden, "carol redacts her own")
	matrixtest.WantCode(t, h.tryRedact(bob, room, theirs), "", "bob redacts alice's")
}

func TestRedactingWhatIsNotThere(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	elsewhere := h.Send(alice, other, "elsewhere")
	for _, id := range []string{elsewhere, "$none", "", "none", "$\x00", "$\xff", "$" + strings.Repeat("x", 300)} {
		matrixtest.WantCode(t, h.tryRedact(alice, room, id), matrix.NotFound, fmt.Sprintf("%q", id))
		_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), event.TypeRedaction, roomstest.Raw(map[string]string{"redacts": id}))
		matrixtest.WantCode(t, err, matrix.NotFound, fmt.Sprintf("sent, %q", id))
	}
	matrixtest.WantCode(t, h.tryRedact(alice, "!none:localhost", elsewhere), matrix.Forbidden, "in no room")
	matrixtest.WantCode(t, h.tryRedact(alice, "none", elsewhere), matrix.InvalidParam, "in what is no room")
}

func TestRedactionIsSentLikeAnyEvent(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{}, func(version int, room string) {
		id := h.Send(alice, room, "a secret")
		redaction, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), event.TypeRedaction, roomstest.Raw(map[string]string{"redacts": id, "reason": "r", "org.example": "x"}))
		h.OK(err)
		if e := h.Event(alice, room, id); !e.Redacted() || string(e.Content()) != `{}` {
			t.Errorf("version %d: not redacted: %s", version, e.Content())
		}
		sent := h.Event(alice, room, redaction)
		inContent := event.Field(sent.Content(), "redacts") != nil
		if sent.Redacts != id || inContent != (version >= 11) {
			t.Errorf("version %d: the redaction is %s", version, sent.JSON)
		}
		whole, _ := shown(t, &timeline.Format{}, sent)
		if string(whole["redacts"]) != `"`+id+`"` || !roomstest.SameJSON(string(whole["content"]), `{"redacts":"`+id+`","reason":"r","org.example":"x"}`) {
			t.Errorf("version %d: clients get redacts %s and content %s", version, whole["redacts"], whole["content"])
		}
	})
}

func TestRedactionThatNamesNothing(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, content := range []string{`{}`, `{"redacts":null}`, `{"redacts":7}`, `{"Redacts":"$x"}`, `[]`, `null`, `"x"`} {
		_, err := h.Rooms.Send(t.Context(), roomstest.As(alice, room), event.TypeRedaction, json.RawMessage(content))
		matrixtest.WantCode(t, err, matrix.BadJSON, content)
		matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeRedaction, "", content), matrix.BadJSON, content+" as state")
	}
}

func TestRedactionAsStateRedactsByTheSameRules(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.SetPower(room, map[string]int{alice: 100, bob: 50})
	h.SetState(alice, room, event.TypePowerLevels, "", string(roomstest.Raw(map[string]any{"users": map[string]int{bob: 50}, "redact": 75})))
	id := h.Send(alice, room, "of alice")
	content := `{"redacts":"` + id + `"}`
	matrixtest.WantCode(t, h.TrySetState(bob, room, event.TypeRedaction, "", content), matrix.Forbidden, "bob")
	matrixtest.WantCode(t, h.TrySetState(alice, room, event.TypeRedaction, "", content), "", "alice")
	if !h.Event(bob, room, id).Redacted() {
		t.Error("not redacted")
	}
}

func TestRedactedStateStaysState(t *testing.T) {
	h := newEnv(t)
	h.EachVersion(rooms.CreateRequest{Preset: "public_chat", Name: "a name"}, func(version int, room string) {
		h.Join(bob, room)
		h.SetState(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined","x":1}`)
		name, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, "m.room.name", "")
		h.OK(err)
		member, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypeMember, bob)
		h.OK(err)
		visibility, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, "m.room.history_visibility", "")
		h.OK(err)
		for _, id := range []string{name.ID, member.ID, visibility.ID} {
			h.Redact(alice, room, id, "")
		}
		h.WantContent(alice, room, "m.room.name", "", `{}`)
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join"}`)
		h.WantContent(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
		h.Send(bob, room, "still in the room")
		for _, again := range []*env{h, envOn(t, h.Pool)} {
			list, err := again.Rooms.Timeline.JoinedRooms(t.Context(), bob)
			h.OK(err)
			if !strings.Contains(strings.Join(list, " "), room) {
				t.Errorf("version %d: bob has fallen out of the room", version)
			}
		}
	})
}

func TestRedactedStateIsSetAgain(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	first := h.SetState(alice, room, "m.room.name", "", `{}`)
	h.Redact(alice, room, first, "")
	if again := h.SetState(alice, room, "m.room.name", "", `{}`); again == first {
		t.Error("the redacted event counts as the state that was asked for")
	}
}

func TestRedactedInviteLevelNoLongerCounts(t *testing.T) {
	h := newEnv(t)
	for version, code := range map[string]matrix.Code{"10": "", "11": matrix.Forbidden} { // from 11 on it is protected
		room := h.Create(alice, rooms.CreateRequest{RoomVersion: version, Preset: "public_chat", PowerLevels: roomstest.Object{"invite": roomstest.Raw(50)}})
		h.Join(bob, room)
		matrixtest.WantCode(t, h.Rooms.Invite(t.Context(), bob, room, carol, ""), matrix.Forbidden, "before")
		levels, _, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, event.TypePowerLevels, "")
		h.OK(err)
		h.Redact(alice, room, levels.ID, "")
		matrixtest.WantCode(t, h.Rooms.Invite(t.Context(), bob, room, carol, ""), code, "in memory, version "+version)
		matrixtest.WantCode(t, envOn(t, h.Pool).Rooms.Invite(t.Context(), bob, room, dave, ""), code, "read anew, version "+version)
	}
}

func TestRedactedContentDoesNotComeBackAsPrevContent(t *testing.T) {
	h := newEnv(t)
	check := func(room, what string) {
		t.Helper()
		e, access, err := h.Rooms.Timeline.For(alice).StateEvent(t.Context(), room, "m.room.topic", "")
		h.OK(err)
		_, unsigned := shown(t, &timeline.Format{Access: access}, e)
		if got := string(unsigned["prev_content"]); got != `{}` {
			t.Errorf("%s: prev_content is %s", what, got)
		}
		h.checkWindow(what, "secret")
	}
	room := h.Public()
	old := h.SetState(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"harmless"}`)
	h.Redact(alice, room, old, "")
	check(room, "redacted after it was replaced")
	room = h.Public()
	old = h.SetState(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
	h.Redact(alice, room, old, "")
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"harmless"}`)
	check(room, "redacted before it was replaced")

	h = envWith(t, roomstest.Options{Journal: journal.Options{WindowBytes: 20_000}})
	room = h.Public()
	old = h.SetState(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
	for range 30 {
		h.Send(alice, room, "so that the window moves on")
	}
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"harmless"}`)
	h.Redact(alice, room, old, "")
	check(room, "redacted when it was no longer in the window")
}

func TestContentThatIsRedactedWhileItIsReplacedDoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, restarted := range map[string]bool{"in the window": false, "read from the database": true} {
		h := envWith(t, roomstest.Options{Journal: journal.Options{GroupWrites: 1}})
		room := h.Public()
		old := h.SetState(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
		if restarted {
			h = envWith(t, roomstest.Options{Pool: h.Pool, Journal: journal.Options{GroupWrites: 1}})
		}
		release := h.holdWriter()
		var wg sync.WaitGroup
		wg.Go(func() { h.Redact(alice, room, old, "") })
		h.untilWriterWaits()
		for _, topic := range []string{"one", "two"} {
			wg.Go(func() { h.SetState(alice, room, "m.room.topic", "", `{"topic":"`+topic+`"}`) })
		}
		h.untilWriterWaits() // by now these are queued, too, most likely
		release()
		wg.Wait()
		h.checkWindow(name, "secret")
		if !h.Event(alice, room, old).Redacted() {
			t.Errorf("%s: not redacted", name)
		}
	}
}

// holdWriter keeps the journal from committing anything until release is called.
func (h *env) holdWriter() (release func()) {
	h.T.Helper()
	tx, err := h.Pool.Begin(h.T.Context())
	h.OK(err)
	_, err = tx.Exec(h.T.Context(), `SELECT position FROM journal FOR UPDATE`)
	h.OK(err)
	return func() { h.OK(tx.Rollback(h.T.Context())) }
}

// untilWriterWaits returns when the database has reported several times that the journal's
// writer waits for a lock.
func (h *env) untilWriterWaits() {
	h.T.Helper()
	for seen := 0; seen < 20; {
		var waiting int
		h.OK(h.Pool.QueryRow(h.T.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting))
		seen += min(waiting, 1)
	}
}

func TestRedactionOfARedaction(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	id := h.Send(alice, room, "x")
	redaction := h.Redact(alice, room, id, "a rude reason")
	h.Redact(alice, room, redaction, "")
	_, unsigned := shown(t, &timeline.Format{}, h.Event(alice, room, id))
	var because roomstest.Object
	h.OK(unmarshal(unsigned["redacted_because"], &because))
	if strings.Contains(string(unsigned["redacted_because"]), "rude") {
		t.Errorf("the reason is still there: %s", unsigned["redacted_because"])
	}
	h.checkWindow("redacted redaction", "rude")
	if e := h.Event(alice, room, id); string(e.Content()) != `{}` {
		t.Error("what was redacted has come back")
	}
}

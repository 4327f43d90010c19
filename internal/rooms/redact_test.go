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
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func (h *house) tryRedact(user, room, id string) error {
	_, err := h.Redact(h.t.Context(), as(user, room), id, "")
	return err
}

func (h *house) redact(user, room, id, reason string) string {
	h.t.Helper()
	redaction, err := h.Redact(h.t.Context(), as(user, room), id, reason)
	if err != nil {
		h.t.Fatalf("%s redacts %s: %v", user, id, err)
	}
	return redaction
}

// event reads one event as a user.
func (h *house) event(user, room, id string) *timeline.Event {
	h.t.Helper()
	e, _, err := h.Timeline.Event(h.t.Context(), user, room, id)
	h.ok(err)
	return e
}

func TestRedactionTakesTheContentAway(t *testing.T) {
	h := newHouse(t)
	h.versions(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		h.join(bob, room)
		id := h.send(bob, room, "a secret")
		redaction := h.redact(bob, room, id, "oops")
		for _, e := range h.history(alice, room) {
			if strings.Contains(string(e.Content()), "secret") {
				t.Errorf("version %d: %s still has it", version, e.ID)
			}
		}
		whole, unsigned := shown(t, &timeline.Format{WithRoomID: true}, h.event(alice, room, id))
		var because object
		h.ok(unmarshal(unsigned["redacted_because"], &because))
		for field, want := range map[string]string{
			string(whole["content"]): `{}`, string(whole["sender"]): `"` + bob + `"`, string(whole["type"]): `"m.room.message"`,
			string(because["event_id"]): `"` + redaction + `"`, string(because["type"]): `"m.room.redaction"`,
			string(because["redacts"]): `"` + id + `"`, string(because["sender"]): `"` + bob + `"`,
		} {
			if field != want {
				t.Errorf("version %d: got %s, want %s", version, field, want)
			}
		}
		if want := `{"reason":"oops","redacts":"` + id + `"}`; !sameJSON(string(because["content"]), want) {
			t.Errorf("version %d: the redaction has %s, want %s", version, because["content"], want)
		}
		checkChain(t, h, room)
	})
}

func TestRedactedBytesAreGoneFromTheDatabase(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	id := h.send(alice, room, "sesame")
	h.redact(alice, room, id, "")
	var left int
	h.ok(h.pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE position(convert_to('sesame', 'UTF8') IN json) > 0`).Scan(&left))
	if left != 0 {
		t.Errorf("%d events still have it", left)
	}
	h.event(alice, room, id) // and what is left can be read
}

func TestWhoMayRedact(t *testing.T) {
	h := newHouse(t)
	h.versions(rooms.CreateRequest{Preset: "public_chat"}, func(version int, room string) {
		for _, user := range []string{bob, carol} {
			h.join(user, room)
		}
		of := map[string]string{alice: h.send(alice, room, "1"), bob: h.send(bob, room, "2"), carol: h.send(carol, room, "3")}
		want := func(who, whose string, code matrix.Code) {
			t.Helper()
			expect(t, fmt.Sprintf("version %d: %s redacts an event of %s", version, who, whose), h.tryRedact(who, room, of[whose]), code)
		}
		want(bob, bob, "")
		want(bob, carol, matrix.Forbidden)
		want(bob, alice, matrix.Forbidden)
		want(dave, carol, matrix.NotFound) // and is not told that there is one
		want(alice, carol, "")
		want(alice, carol, "") // again
		h.leave(carol, room)
		want(carol, carol, matrix.Forbidden)
	})
}

func TestRedactionNeedsItsOwnPower(t *testing.T) {
	h := newHouse(t)
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat", PowerLevels: object{
		"events": raw(map[string]int{event.TypeRedaction: 20}), "redact": raw(10),
		"users": raw(map[string]int{alice: 100, bob: 20, carol: 10}),
	}})
	h.join(bob, room)
	h.join(carol, room)
	mine, theirs := h.send(carol, room, "mine"), h.send(alice, room, "theirs")
	expect(t, "carol redacts her own", h.tryRedact(carol, room, mine), matrix.Forbidden)
	expect(t, "bob redacts alice's", h.tryRedact(bob, room, theirs), "")
}

func TestRedactingWhatIsNotThere(t *testing.T) {
	h := newHouse(t)
	room, other := h.public(), h.public()
	elsewhere := h.send(alice, other, "elsewhere")
	for _, id := range []string{elsewhere, "$none", "", "none", "$\x00", "$\xff", "$" + strings.Repeat("x", 300)} {
		expect(t, fmt.Sprintf("%q", id), h.tryRedact(alice, room, id), matrix.NotFound)
		_, err := h.Send(t.Context(), as(alice, room), event.TypeRedaction, raw(map[string]string{"redacts": id}))
		expect(t, fmt.Sprintf("sent, %q", id), err, matrix.NotFound)
	}
	expect(t, "in no room", h.tryRedact(alice, "!none:localhost", elsewhere), matrix.Forbidden)
	expect(t, "in what is no room", h.tryRedact(alice, "none", elsewhere), matrix.InvalidParam)
}

func TestRedactionIsSentLikeAnyEvent(t *testing.T) {
	h := newHouse(t)
	h.versions(rooms.CreateRequest{}, func(version int, room string) {
		id := h.send(alice, room, "a secret")
		redaction, err := h.Send(t.Context(), as(alice, room), event.TypeRedaction, raw(map[string]string{"redacts": id, "reason": "r", "org.example": "x"}))
		h.ok(err)
		if e := h.event(alice, room, id); !e.Redacted() || string(e.Content()) != `{}` {
			t.Errorf("version %d: not redacted: %s", version, e.Content())
		}
		sent := h.event(alice, room, redaction)
		inContent := event.Field(sent.Content(), "redacts") != nil
		if sent.Redacts != id || inContent != (version >= 11) {
			t.Errorf("version %d: the redaction is %s", version, sent.JSON)
		}
		whole, _ := shown(t, &timeline.Format{}, sent)
		if string(whole["redacts"]) != `"`+id+`"` || !sameJSON(string(whole["content"]), `{"redacts":"`+id+`","reason":"r","org.example":"x"}`) {
			t.Errorf("version %d: clients get redacts %s and content %s", version, whole["redacts"], whole["content"])
		}
	})
}

func TestRedactionThatNamesNothing(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	for _, content := range []string{`{}`, `{"redacts":null}`, `{"redacts":7}`, `{"Redacts":"$x"}`, `[]`, `null`, `"x"`} {
		_, err := h.Send(t.Context(), as(alice, room), event.TypeRedaction, json.RawMessage(content))
		expect(t, content, err, matrix.BadJSON)
		expect(t, content+" as state", h.trySet(alice, room, event.TypeRedaction, "", content), matrix.BadJSON)
	}
}

func TestRedactionAsStateRedactsByTheSameRules(t *testing.T) {
	h := newHouse(t)
	room := h.public(bob)
	h.power(room, map[string]int{alice: 100, bob: 50})
	h.set(alice, room, event.TypePowerLevels, "", string(raw(map[string]any{"users": map[string]int{alice: 100, bob: 50}, "redact": 75})))
	id := h.send(alice, room, "of alice")
	content := `{"redacts":"` + id + `"}`
	expect(t, "bob", h.trySet(bob, room, event.TypeRedaction, "", content), matrix.Forbidden)
	expect(t, "alice", h.trySet(alice, room, event.TypeRedaction, "", content), "")
	if !h.event(bob, room, id).Redacted() {
		t.Error("not redacted")
	}
}

func TestRedactedStateStaysState(t *testing.T) {
	h := newHouse(t)
	h.versions(rooms.CreateRequest{Preset: "public_chat", Name: "a name"}, func(version int, room string) {
		h.join(bob, room)
		h.set(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined","x":1}`)
		name, _, err := h.Timeline.StateEvent(t.Context(), alice, room, "m.room.name", "")
		h.ok(err)
		member, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypeMember, bob)
		h.ok(err)
		visibility, _, err := h.Timeline.StateEvent(t.Context(), alice, room, "m.room.history_visibility", "")
		h.ok(err)
		for _, id := range []string{name.ID, member.ID, visibility.ID} {
			h.redact(alice, room, id, "")
		}
		h.wantContent(alice, room, "m.room.name", "", `{}`)
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join"}`)
		h.wantContent(alice, room, "m.room.history_visibility", "", `{"history_visibility":"joined"}`)
		h.send(bob, room, "still in the room")
		for _, again := range []*house{h, houseOn(t, h.pool)} {
			list, err := again.Timeline.JoinedRooms(t.Context(), bob)
			h.ok(err)
			if !strings.Contains(strings.Join(list, " "), room) {
				t.Errorf("version %d: bob has fallen out of the room", version)
			}
		}
	})
}

func TestRedactedStateIsSetAgain(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	first := h.set(alice, room, "m.room.name", "", `{}`)
	h.redact(alice, room, first, "")
	if again := h.set(alice, room, "m.room.name", "", `{}`); again == first {
		t.Error("the redacted event counts as the state that was asked for")
	}
}

func TestRedactedInviteLevelNoLongerCounts(t *testing.T) {
	h := newHouse(t)
	for version, code := range map[string]matrix.Code{"10": "", "11": matrix.Forbidden} { // from 11 on it is protected
		room := h.create(alice, rooms.CreateRequest{RoomVersion: version, Preset: "public_chat", PowerLevels: object{"invite": raw(50)}})
		h.join(bob, room)
		expect(t, "before", h.Invite(t.Context(), bob, room, carol, ""), matrix.Forbidden)
		levels, _, err := h.Timeline.StateEvent(t.Context(), alice, room, event.TypePowerLevels, "")
		h.ok(err)
		h.redact(alice, room, levels.ID, "")
		expect(t, "in memory, version "+version, h.Invite(t.Context(), bob, room, carol, ""), code)
		expect(t, "read anew, version "+version, houseOn(t, h.pool).Invite(t.Context(), bob, room, dave, ""), code)
	}
}

func TestRedactedContentDoesNotComeBackAsPrevContent(t *testing.T) {
	h := newHouse(t)
	check := func(room, what string) {
		t.Helper()
		e, access, err := h.Timeline.StateEvent(t.Context(), alice, room, "m.room.topic", "")
		h.ok(err)
		_, unsigned := shown(t, &timeline.Format{Access: access}, e)
		if got := string(unsigned["prev_content"]); got != `{}` {
			t.Errorf("%s: prev_content is %s", what, got)
		}
		h.checkWindow(what, "secret")
	}
	room := h.public()
	old := h.set(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
	h.set(alice, room, "m.room.topic", "", `{"topic":"harmless"}`)
	h.redact(alice, room, old, "")
	check(room, "redacted after it was replaced")
	room = h.public()
	old = h.set(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
	h.redact(alice, room, old, "")
	h.set(alice, room, "m.room.topic", "", `{"topic":"harmless"}`)
	check(room, "redacted before it was replaced")
}

func TestContentThatIsRedactedWhileItIsReplacedDoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, restarted := range map[string]bool{"in the window": false, "read from the database": true} {
		h := houseWith(t, postgrestest.New(t), journal.Options{GroupWrites: 1})
		room := h.public()
		old := h.set(alice, room, "m.room.topic", "", `{"topic":"secret"}`)
		if restarted {
			h = houseWith(t, h.pool, journal.Options{GroupWrites: 1})
		}
		letGo := h.holdWriter()
		var wg sync.WaitGroup
		wg.Go(func() { h.redact(alice, room, old, "") })
		h.untilWriterWaits()
		for _, topic := range []string{"one", "two"} {
			wg.Go(func() { h.set(alice, room, "m.room.topic", "", `{"topic":"`+topic+`"}`) })
		}
		h.untilWriterWaits() // by now these are queued, too, most likely
		letGo()
		wg.Wait()
		h.checkWindow(name, "secret")
		if !h.event(alice, room, old).Redacted() {
			t.Errorf("%s: not redacted", name)
		}
	}
}

// holdWriter keeps the journal from committing anything until the answer is called.
func (h *house) holdWriter() (letGo func()) {
	h.t.Helper()
	tx, err := h.pool.Begin(h.t.Context())
	h.ok(err)
	_, err = tx.Exec(h.t.Context(), `SELECT position FROM journal FOR UPDATE`)
	h.ok(err)
	return func() { h.ok(tx.Rollback(h.t.Context())) }
}

// untilWriterWaits returns when the journal's writer is seen to be held, a
// number of times.
func (h *house) untilWriterWaits() {
	h.t.Helper()
	for seen := 0; seen < 20; {
		var waiting int
		h.ok(h.pool.QueryRow(h.t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting))
		seen += min(waiting, 1)
	}
}

func TestRedactionOfARedaction(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	id := h.send(alice, room, "x")
	redaction := h.redact(alice, room, id, "a rude reason")
	h.redact(alice, room, redaction, "")
	_, unsigned := shown(t, &timeline.Format{}, h.event(alice, room, id))
	var because object
	h.ok(unmarshal(unsigned["redacted_because"], &because))
	if strings.Contains(string(unsigned["redacted_because"]), "rude") {
		t.Errorf("the reason is still there: %s", unsigned["redacted_because"])
	}
	h.checkWindow("redacted redaction", "rude")
	if e := h.event(alice, room, id); string(e.Content()) != `{}` {
		t.Error("what was redacted has come back")
	}
}

package syncstream_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func wantPart(t testing.TB, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: want %s in %s", what, part, text)
	}
}

func TestNewlyJoinedRoomComesWithItsStateAndHistory(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.topic(alice, room, "welcome")
	h.say(alice, room, "1", "2")
	c := h.synced(bob, `{"room":{"timeline":{"limit":2}}}`)
	h.Join(bob, room)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "2", "bob join")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "topic welcome")
	if !r.Timeline.Limited || r.Summary == nil {
		t.Errorf("limited %v, summary %v", r.Timeline.Limited, r.Summary)
	}
	h.say(alice, room, "3")
	equal(t, "timeline", c.sync().in(t, room).timeline(), "3")
}

func TestInvitedRoomShowsStrippedState(t *testing.T) {
	h := newEnv(t)
	for _, version := range []string{"1", "11", "12"} {
		room := h.create(rooms.CreateRequest{
			RoomVersion: version, Name: "House", Topic: "Talk", AliasName: "house" + version,
			InitialState: []rooms.InitialState{
				{Type: "m.room.encryption", Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`)},
				{Type: "m.room.avatar", Content: json.RawMessage(`{"url":"mxc://localhost/x"}`)},
				{Type: "org.example.secret", Content: json.RawMessage(`{}`)},
			},
		})
		c := h.synced(bob, "")
		h.invite(bob, room)
		h.SetState(alice, room, "m.room.name", "", `{"name":"Renamed after the invite"}`)
		a := c.sync()
		invite := a.Rooms.Invite[room]
		if invite == nil {
			t.Fatalf("version %s: no invite in %s", version, a.raw)
		}
		same(t, "version "+version, words(invite.State.Events), "create", "join_rules", "name", "topic Talk",
			"canonical_alias", "encryption", "avatar", "alice join", "bob invite")
		for _, e := range invite.State.Events {
			if e.EventID != "" || e.Unsigned != nil || e.RoomID != "" || e.StateKey == nil || e.Sender == "" {
				t.Errorf("version %s: %v is not stripped", version, e)
			}
			if e.Type == "m.room.name" && e.Content["name"] != "House" {
				t.Errorf("version %s: the name is %v", version, e.Content["name"])
			}
		}
		wantEmpty(t, c.sync())
		if c.Since = ""; c.sync().Rooms.Invite[room] == nil {
			t.Errorf("version %s: an initial sync does not tell of the invite", version)
		}
		h.Leave(bob, room)
	}
}

// Clients show who invites by the name and the picture in the member event; for a
// direct chat they have nothing else to show.
func TestInvitationHidesWhoInvites(t *testing.T) {
	h := newEnv(t)
	room := h.Public(carol)
	c := h.synced(bob, "")
	h.SetState(carol, room, "m.room.member", carol, `{"membership":"join","displayname":"Carol","avatar_url":"mxc://localhost/carol"}`)
	h.OK(h.Rooms.Invite(t.Context(), carol, room, bob, ""))
	h.rename(carol, room, "Renamed after the invite")
	h.Leave(carol, room)
	invite := c.sync().Rooms.Invite[room]
	if invite == nil {
		t.Fatal("there is no invite")
	}
	inviter := slices.IndexFunc(invite.State.Events, func(e *ev) bool { return e.String() == "carol join" })
	if inviter < 0 {
		t.Fatalf("carol, who invites, is not in %v", words(invite.State.Events))
	}
	content := invite.State.Events[inviter].Content
	if content["displayname"] != "Carol" || content["avatar_url"] != "mxc://localhost/carol" {
		t.Errorf("carol is shown as %v", content)
	}
	if got := words(invite.State.Events); slices.Contains(got, "alice join") {
		t.Errorf("a member who does not invite is in %v", got)
	}
}

func TestKnockedRoomShowsStrippedState(t *testing.T) {
	h := newEnv(t)
	room := h.create(rooms.CreateRequest{InitialState: []rooms.InitialState{
		{Type: "m.room.join_rules", Content: json.RawMessage(`{"join_rule":"knock"}`)}}})
	c := h.synced(bob, "")
	h.OK(h.Rooms.Knock(t.Context(), bob, room, "please"))
	knock := c.sync().Rooms.Knock[room]
	if knock == nil {
		t.Fatal("the knock is not told")
	}
	same(t, "knock state", words(knock.State.Events), "create", "join_rules", "bob knock")
	h.Leave(bob, room)
	r := c.sync().out(t, room)
	equal(t, "timeline", r.timeline(), "bob leave")
	equal(t, "state of a room never joined", r.state())
}

func TestRejectedInviteIsTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.invite(bob, room)
	c, late := h.synced(bob, ""), h.client(bob, "")
	h.say(alice, room, "unseen")
	h.Leave(bob, room)
	h.say(alice, room, "unseen, too")
	r := c.sync().out(t, room)
	equal(t, "timeline", r.timeline(), "bob leave")
	equal(t, "state", r.state())
	wantEmpty(t, c.sync())
	wantEmpty(t, late.sync())
}

// A user who never was in a room learns how the user's own membership has changed, but gets
// no older events: /messages refuses them, too.
func TestWhoNeverWasInARoomIsNotToldOfMore(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	since := h.synced(bob, "").Since
	h.ban(bob, room)
	h.OK(h.Rooms.Unban(t.Context(), alice, room, bob, ""))
	_, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{})
	matrixtest.WantCode(t, err, matrix.Forbidden, "history")
	for what, process := range map[string]*env{"window": h, "SQL": envOn(t, h.Pool, journal.Options{})} {
		c := process.client(bob, `{"room":{"timeline":{"limit":1}}}`)
		c.Since = since
		r := c.sync().out(t, room)
		equal(t, what, r.timeline(), "bob leave")
		if r.Timeline.Limited {
			t.Errorf("%s: bob is told that there is more", what)
		}
	}
}

func TestLeftRoomEndsWithTheLeave(t *testing.T) {
	h := newEnv(t)
	for what, leave := range map[string]func(user, room string){"leave": h.Leave, "kick": h.kick, "ban": h.ban} {
		room := h.Public(bob)
		c := h.synced(bob, "")
		h.say(alice, room, "last words")
		leave(bob, room)
		h.say(alice, room, "behind the back")
		h.topic(alice, room, "gone at last")
		r := c.sync().out(t, room)
		want := "bob leave"
		if what == "ban" {
			want = "bob ban"
		}
		equal(t, what, r.timeline(), "last words", want)
		equal(t, what+": state", r.state())
		if r.Summary != nil {
			t.Errorf("%s: a left room has a summary", what)
		}
		wantEmpty(t, c.sync())
	}
}

func TestStateAfterLeavingIsNotTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c, after, initial := h.synced(bob, ""), h.synced(bob, ""), h.client(bob, `{"room":{"include_leave":true}}`)
	after.UseStateAfter = true
	h.topic(alice, room, "known")
	h.kick(bob, room)
	h.topic(alice, room, "secret")
	h.say(alice, room, "secret")
	h.ban(bob, room)
	last := h.client(bob, `{"room":{"include_leave":true,"timeline":{"limit":1}}}`).sync()
	equal(t, "limited timeline", last.out(t, room).timeline(), "bob ban")
	if got := last.out(t, room).state(); !slices.Contains(got, "topic known") || slices.Contains(got, "topic secret") {
		t.Errorf("the state at the time of leaving is not %v", got)
	}
	for what, a := range map[string]*answer{"incremental": c.sync(), "state after": after.sync(), "initial": initial.sync()} {
		r := a.out(t, room)
		if strings.Contains(string(a.raw), "secret") {
			t.Errorf("%s: the user who was kicked sees what came later: %s", what, a.raw)
		}
		if got := r.timeline(); got[len(got)-1] != "bob ban" || !slices.Contains(got, "bob leave") {
			t.Errorf("%s: timeline %v", what, got)
		}
	}
	h.OK(h.Rooms.Unban(t.Context(), alice, room, bob, ""))
	r := c.sync().out(t, room)
	equal(t, "lifted ban", r.timeline(), "bob leave")
	equal(t, "state with a lifted ban", r.state())
}

func TestIncludeLeave(t *testing.T) {
	h := newEnv(t)
	room, rejected := h.Public(bob), h.Public()
	h.topic(alice, room, "old")
	h.Leave(bob, room)
	h.topic(alice, room, "new")
	h.invite(bob, rejected)
	h.Leave(bob, rejected)
	wantEmpty(t, h.client(bob, "").sync())
	c := h.client(bob, `{"room":{"include_leave":true,"timeline":{"limit":1}}}`)
	a := c.sync()
	r := a.out(t, room)
	equal(t, "timeline", r.timeline(), "bob leave")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob join", "topic old")
	equal(t, "state of a rejected room", a.out(t, rejected).state())
	wantEmpty(t, c.sync())
}

func TestJoinAndLeaveBetweenTwoSyncs(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	c := h.synced(bob, `{"room":{"timeline":{"limit":3}}}`)
	h.Join(bob, room)
	h.say(bob, room, "hello and goodbye")
	h.Leave(bob, room)
	h.topic(alice, room, "secret")
	r := c.sync().out(t, room)
	equal(t, "timeline", r.timeline(), "bob join", "hello and goodbye", "bob leave")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access")
}

func TestLeaveAndRejoinBetweenTwoSyncs(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.say(alice, room, "old")
	c := h.synced(bob, "")
	h.say(alice, room, "before")
	h.Leave(bob, room)
	h.topic(alice, room, "while away")
	h.Join(bob, room)
	h.say(alice, room, "after")
	r := c.sync().in(t, room)
	equal(t, "shared history, once", r.timeline(), "before", "bob leave", "topic while away", "bob join", "after")
	if len(r.state()) != 7 {
		t.Errorf("who rejoins gets the whole state, not %v", r.state())
	}
}

// A timeline with a hole in it was cut off at the hole, so that who came back to a room
// saw one event of it.
func TestTimelineAfterAJoinEndsAtWhatTheReaderMayNotRead(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.visibility(room, "joined")
	away := h.synced(bob, "")
	h.say(alice, room, "1", "2")
	h.Leave(bob, room)
	h.say(alice, room, "hidden")
	h.Join(bob, room)
	h.say(alice, room, "3")
	sql := envOn(t, h.Pool, journal.Options{WindowBytes: 1})
	for what, c := range map[string]*client{
		"initial": h.client(bob, `{"room":{"timeline":{"limit":5}}}`), "since before": away,
		"initial, SQL": sql.client(bob, `{"room":{"timeline":{"limit":5}}}`), "since before, SQL": {sql, away.Query},
	} {
		r := c.sync().in(t, room)
		equal(t, what, r.timeline(), "1", "2", "bob leave", "bob join", "3")
		older, err := h.Rooms.Timeline.For(bob).Messages(t.Context(), room, timeline.Page{Limit: 100})
		h.OK(err)
		if n := len(older.Events); n != 13 { // 6 of the creation, 2 before, and these
			t.Errorf("%s: /messages has %d events", what, n)
		}
	}
}

// Other servers call the timeline of a room that one has just come into limited, so
// that clients ask for the history before it.
func TestTimelineOfANewRoomIsNotLimited(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	c, sql := h.synced(bob, ""), envOn(t, h.Pool, journal.Options{WindowBytes: 1})
	h.Join(bob, room)
	for what, c := range map[string]*client{"window": {h, c.Query}, "SQL": {sql, c.Query}} {
		sql.catchUp()
		if r := c.sync().in(t, room); !r.Timeline.Limited || r.timeline()[0] != "create" {
			t.Errorf("%s: limited is %v for %v", what, r.Timeline.Limited, r.timeline())
		}
		h.say(bob, room, "more")
		sql.catchUp()
		if r := c.sync().in(t, room); r.Timeline.Limited {
			t.Errorf("%s: what comes after that is limited, too", what)
		}
	}
	if h.client(bob, `{"room":{"timeline":{"limit":100}}}`).sync().in(t, room).Timeline.Limited {
		t.Error("a first sync that has everything is limited")
	}
}

func TestRejoinOverHiddenHistory(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.visibility(room, "joined")
	c := h.synced(bob, "")
	since := c.Since
	h.topic(alice, room, "seen")
	h.Leave(bob, room)
	h.topic(alice, room, "while away")
	h.say(alice, room, "hidden")
	h.Join(bob, room)
	h.say(alice, room, "after")
	r := c.sync().in(t, room)
	// The topic of before would be taken for that of now.
	equal(t, "timeline", r.timeline(), "bob leave", "bob join", "after")
	if !r.Timeline.Limited {
		t.Error("there is a gap, but the timeline is not limited")
	}
	if got := r.state(); !slices.Contains(got, "topic while away") || slices.Contains(got, "topic seen") {
		t.Errorf("the state that the timeline begins with is %v", got)
	}
	equal(t, "gap", h.before(bob, room, r.Timeline.PrevBatch, since, nil), "topic")
}

func TestRejoinAfterASyncBringsTheRoomBack(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(bob, `{"room":{"timeline":{"limit":3}}}`)
	h.Leave(bob, room)
	c.sync().out(t, room)
	h.topic(alice, room, "while away")
	h.Join(bob, room)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline(), "bob leave", "topic while away", "bob join")
	same(t, "state", r.state(), "create", "alice join", "power_levels", "join_rules", "history_visibility", "guest_access", "bob join")
}

func TestRoomsOfAllVersionsAreSynced(t *testing.T) {
	h := newEnv(t)
	for _, version := range []string{"1", "3", "6", "10", "11", "12"} {
		room := h.create(rooms.CreateRequest{Preset: "public_chat", RoomVersion: version})
		c := h.synced(bob, `{"room":{"timeline":{"limit":2}}}`)
		h.Join(bob, room)
		h.say(alice, room, "hi")
		r := c.sync().in(t, room)
		equal(t, version, r.timeline(), "bob join", "hi")
		if got := r.state(); len(got) == 0 || got[0] != "create" {
			t.Errorf("version %s: state %v", version, got)
		}
	}
}

func TestHistoryVisibilityOfWhoJoins(t *testing.T) {
	h := newEnv(t)
	for visibility, want := range map[string][]string{
		"world_readable": {"1", "bob invite", "2", "bob join", "3"},
		"shared":         {"1", "bob invite", "2", "bob join", "3"},
		"invited":        {"bob invite", "2", "bob join", "3"},
		"joined":         {"bob invite", "bob join", "3"},
	} {
		room := h.Public()
		h.visibility(room, visibility)
		c := h.synced(bob, "")
		h.say(alice, room, "1")
		h.invite(bob, room)
		h.say(alice, room, "2")
		h.Join(bob, room)
		h.say(alice, room, "3")
		for what, a := range map[string]*answer{"incremental": c.sync(), "initial": h.client(bob, "").sync()} {
			got := slices.DeleteFunc(a.in(t, room).timeline(), func(e string) bool { // what is of the room's creation
				return len(e) > 1 && !strings.HasPrefix(e, "bob")
			})
			equal(t, visibility+", "+what, got, want...)
		}
	}
}

func TestHiddenStateOfBeforeTheJoinIsNotTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.visibility(room, "joined")
	h.topic(alice, room, "private plans")
	c := h.synced(bob, "")
	h.invite(bob, room)
	h.topic(alice, room, "public plans")
	h.Join(bob, room)
	a := c.sync()
	if got := a.in(t, room).state(); !slices.Contains(got, "topic public plans") {
		t.Errorf("the topic at the time of joining is not in %v", got)
	}
	if strings.Contains(string(a.raw), "private plans") {
		t.Errorf("what was replaced before the join is told: %s", a.raw)
	}
}

func TestChangeOfVisibilityCountsFromThenOn(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	c := h.synced(carol, "")
	h.visibility(room, "joined")
	h.say(alice, room, "hidden")
	h.visibility(room, "shared")
	h.say(alice, room, "open")
	h.Join(carol, room)
	r := c.sync().in(t, room)
	equal(t, "timeline", r.timeline()[6:], "history_visibility", "history_visibility", "open", "carol join")
	if !r.Timeline.Limited {
		t.Error("there is older history, but the timeline is not limited")
	}
}

package rooms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/migrations"
)

// listed makes a published room with a name and that many members.
func (h *house) listed(name string, members int) string {
	h.t.Helper()
	room := h.create(alice, rooms.CreateRequest{Preset: "public_chat", Visibility: "public", Name: name})
	for i := 1; i < members; i++ {
		h.join(fmt.Sprintf("@user%d:localhost", i), room)
	}
	return room
}

func (h *house) directory(q rooms.PublicQuery) *rooms.PublicPage {
	h.t.Helper()
	page, err := h.PublicRooms(h.t.Context(), q)
	h.ok(err)
	return page
}

func names(page *rooms.PublicPage) []string {
	list := []string{}
	for _, r := range page.Chunk {
		list = append(list, r.Name)
	}
	return list
}

func TestDirectoryShowsWhatThereIsToKnow(t *testing.T) {
	h := newHouse(t)
	h.public() // is not published
	full := h.create(alice, rooms.CreateRequest{
		Preset: "public_chat", Visibility: "public", AliasName: "full", Name: "Full", Topic: "of things",
		CreationContent: object{"type": raw("m.space")},
	})
	h.join(bob, full)
	h.set(alice, full, "m.room.avatar", "", `{"url":"mxc://localhost/abc"}`)
	h.set(alice, full, "m.room.name", "other", `{"name":"of something else"}`)
	h.set(alice, full, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.set(alice, full, "m.room.guest_access", "", `{"guest_access":"can_join"}`)
	h.ok(h.CreateAlias(t.Context(), alice, "#another:localhost", full))
	bare := h.create(alice, rooms.CreateRequest{Visibility: "public", Preset: "private_chat"})
	page := h.directory(rooms.PublicQuery{})
	want := []*rooms.PublicRoom{
		{
			RoomID: full, Joined: 2, Name: "Full", Topic: "of things", AvatarURL: "mxc://localhost/abc",
			CanonicalAlias: "#full:localhost", Aliases: []string{"#full:localhost", "#another:localhost"},
			JoinRule: "public", RoomType: "m.space", WorldReadable: true, GuestCanJoin: true,
		},
		{RoomID: bare, Joined: 1, JoinRule: "invite", GuestCanJoin: true},
	}
	if diff := cmp.Diff(want, page.Chunk, cmpopts.IgnoreUnexported(rooms.PublicRoom{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if page.Total != 2 || page.NextBatch != "" || page.PrevBatch != "" {
		t.Errorf("total %d, next %q, previous %q", page.Total, page.NextBatch, page.PrevBatch)
	}
	h.leave(alice, bare)
	if got := names(h.directory(rooms.PublicQuery{})); len(got) != 1 {
		t.Errorf("a room without members is shown: %q", got)
	}
}

func TestDirectoryFollowsStateAndRedactions(t *testing.T) {
	h := newHouse(t)
	room := h.listed("before", 1)
	id := h.set(alice, room, "m.room.name", "", `{"name":"after"}`)
	topic := h.set(alice, room, "m.room.topic", "",
		`{"topic":"plain","m.topic":{"m.text":[{"body":"<b>rich</b>","mimetype":"text/html"},{"body":"from the block"}]}}`)
	if r := h.directory(rooms.PublicQuery{}).Chunk[0]; r.Name != "after" || r.Topic != "from the block" {
		t.Errorf("got %+v", r)
	}
	h.redact(alice, room, id, "")
	h.redact(alice, room, topic, "")
	if r := h.directory(rooms.PublicQuery{}).Chunk[0]; r.Name != "" || r.Topic != "" || r.JoinRule != "public" {
		t.Errorf("after the redaction: %+v", r)
	}
	for _, content := range []string{`{"name":5}`, `{"name":""}`, `{"name":"a\u0000b"}`, `{}`} {
		h.set(alice, room, "m.room.name", "", content)
		if r := h.directory(rooms.PublicQuery{}).Chunk[0]; r.Name != "" {
			t.Errorf("%s: name %q", content, r.Name)
		}
	}
	h.set(alice, room, "m.room.topic", "", `{"topic":"plain","m.topic":{"m.text":"?"}}`)
	if r := h.directory(rooms.PublicQuery{}).Chunk[0]; r.Topic != "plain" {
		t.Errorf("topic %q", r.Topic)
	}
}

func TestDirectoryIsPagedBothWays(t *testing.T) {
	h := newHouse(t)
	var all []string
	for i := range 7 { // of 4, 3, 3, 2, 2, 1 and 1 members
		all = append(all, fmt.Sprintf("room %d", i))
		h.listed(all[i], 4-(i+1)/2)
	}
	for _, term := range []string{"", "room"} { // with a filter and without it is paged in other ways
		for limit := 1; limit <= 8; limit++ {
			var forward []string
			var last *rooms.PublicPage
			for q := (rooms.PublicQuery{Limit: limit, Term: term}); ; q.Since = last.NextBatch {
				last = h.directory(q)
				if last.Total != 7 || len(last.Chunk) > limit || (last.PrevBatch != "") != (q.Since != "") {
					t.Errorf("limit %d since %q: %+v", limit, q.Since, last)
				}
				forward = append(forward, names(last)...)
				if last.NextBatch == "" {
					break
				}
			}
			equal(t, fmt.Sprintf("forward by %d", limit), forward, all)
			backward := names(last)
			for last.PrevBatch != "" {
				last = h.directory(rooms.PublicQuery{Limit: limit, Term: term, Since: last.PrevBatch})
				backward = append(names(last), backward...)
				if last.NextBatch == "" {
					t.Errorf("limit %d: there is no way forward again", limit)
				}
			}
			equal(t, fmt.Sprintf("backward by %d", limit), backward, all)
		}
	}
}

func TestDirectoryIsFiltered(t *testing.T) {
	h := newHouse(t)
	h.listed("Café Müller", 3)
	h.create(alice, rooms.CreateRequest{Visibility: "public", Name: "Space", CreationContent: object{"type": raw("m.space")}})
	h.create(alice, rooms.CreateRequest{Visibility: "public", AliasName: "cheese", Topic: "Über Käse & mehr"})
	space, other := "m.space", "m.other"
	for _, test := range []struct {
		q    rooms.PublicQuery
		want int
	}{
		{rooms.PublicQuery{Term: "cafe"}, 1},
		{rooms.PublicQuery{Term: "É MÜLL"}, 1},
		{rooms.PublicQuery{Term: "  müller "}, 1},
		{rooms.PublicQuery{Term: "kase &"}, 1},
		{rooms.PublicQuery{Term: "#CHEESE"}, 1},
		{rooms.PublicQuery{Term: "cheddar"}, 0},
		{rooms.PublicQuery{Term: "%"}, 0},
		{rooms.PublicQuery{Term: " "}, 3},
		{rooms.PublicQuery{RoomTypes: []*string{&space}}, 1},
		{rooms.PublicQuery{RoomTypes: []*string{nil}}, 2},
		{rooms.PublicQuery{RoomTypes: []*string{nil, &space}}, 3},
		{rooms.PublicQuery{RoomTypes: []*string{&other}}, 0},
		{rooms.PublicQuery{RoomTypes: []*string{}}, 0},
		{rooms.PublicQuery{RoomTypes: []*string{nil}, Term: "cafe"}, 1},
		{rooms.PublicQuery{RoomTypes: []*string{&space}, Term: "cafe"}, 0},
	} {
		page := h.directory(test.q)
		if len(page.Chunk) != test.want || page.Total != int64(test.want) || page.Chunk == nil {
			t.Errorf("%+v: %d rooms of %d, want %d", test.q, len(page.Chunk), page.Total, test.want)
		}
	}
}

func TestDirectoryRefusesNonsense(t *testing.T) {
	h := newHouse(t)
	for _, q := range []rooms.PublicQuery{
		{Limit: -1}, {Since: "x"}, {Since: "n"}, {Since: "n1"}, {Since: "n1_"}, {Since: "n01_1"}, {Since: "q1_1"}, {Since: "n1_1 "},
		{Since: "n99999999999999999999_1"},
	} {
		_, err := h.PublicRooms(t.Context(), q)
		expect(t, fmt.Sprintf("%+v", q), err, matrix.InvalidParam)
	}
	if page := h.directory(rooms.PublicQuery{Since: "n0_0"}); len(page.Chunk) != 0 || page.Chunk == nil {
		t.Errorf("behind the end: %+v", page)
	}
}

func TestWhoMayPublishARoom(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.public(bob, carol)
	h.power(room, map[string]int{alice: 100, carol: 50})
	listed := func(want bool) {
		t.Helper()
		if got, err := h.Listed(ctx, room); got != want || err != nil {
			t.Errorf("listed %v %v, want %v", got, err, want)
		}
	}
	listed(false)
	expect(t, "a member", h.SetListed(ctx, bob, room, false, true), matrix.Forbidden)
	expect(t, "a stranger", h.SetListed(ctx, dave, room, false, true), matrix.Forbidden)
	listed(false)
	expect(t, "a moderator", h.SetListed(ctx, carol, room, false, true), "")
	expect(t, "again", h.SetListed(ctx, carol, room, false, true), "")
	listed(true)
	expect(t, "an administrator", h.SetListed(ctx, dave, room, true, false), "")
	listed(false)
	h.leave(carol, room)
	expect(t, "who has left", h.SetListed(ctx, carol, room, false, true), matrix.Forbidden)
	for _, none := range []string{"!none:localhost", "none", ""} {
		expect(t, none, h.SetListed(ctx, alice, none, true, true), matrix.NotFound)
		_, err := h.Listed(ctx, none)
		expect(t, none, err, matrix.NotFound)
	}
}

func TestVisibleAreThoseInTheSameOrAnOpenRoom(t *testing.T) {
	h := newHouse(t)
	private := h.create(alice, rooms.CreateRequest{Invite: []string{bob, carol}})
	h.join(bob, private)
	visible := func(asker string, want ...string) {
		t.Helper()
		set, err := h.Timeline.Visible(t.Context(), asker, []string{alice, bob, carol, dave, "@nobody:localhost"})
		h.ok(err)
		got := []string{}
		for user := range set {
			got = append(got, user)
		}
		slices.Sort(got)
		equal(t, "visible to "+asker, got, want)
	}
	visible(alice, bob)
	visible(bob, alice)
	visible(carol) // who is but invited
	visible(dave)
	open := h.public(dave)
	visible(alice, alice, bob, dave)
	visible(carol, alice, dave)
	h.set(alice, open, event.TypeJoinRules, "", `{"join_rule":"invite"}`)
	visible(carol)
	visible(dave, alice)
	h.set(alice, private, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	visible(carol, alice, bob)
	h.leave(bob, private)
	visible(carol, alice)
	visible(alice, alice, dave)
}

func TestDirectoryOfRoomsFromBeforeItsTime(t *testing.T) {
	h := newHouse(t)
	h.create(alice, rooms.CreateRequest{
		Preset: "public_chat", Visibility: "public", AliasName: "old", Name: "Old", Topic: "ancient", RoomVersion: "5",
	})
	odd := h.listed("x", 1)
	h.set(alice, odd, "m.room.name", "", `{"name":"a\u0000b"}`)
	before := h.directory(rooms.PublicQuery{})
	ctx := t.Context()
	_, err := h.pool.Exec(ctx, `UPDATE room_state SET value = NULL WHERE type NOT IN ('m.room.member', 'm.room.history_visibility')`)
	h.ok(err)
	if got := names(h.directory(rooms.PublicQuery{})); strings.Join(got, "") != "" {
		t.Fatalf("the values are still there: %q", got)
	}
	_, err = h.pool.Exec(ctx, migration(t, "00013_directories.sql"))
	h.ok(err)
	after := h.directory(rooms.PublicQuery{})
	if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(rooms.PublicRoom{})); diff != "" {
		t.Error(diff)
	}
}

// migration gives the first statement of a migration, which fills what is new.
func migration(t *testing.T, name string) string {
	t.Helper()
	text, err := migrations.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	statement, _, ok := strings.Cut(string(text), ";")
	if !ok {
		t.Fatalf("%s has no statement", name)
	}
	return statement
}

package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/roomstest"
	"homeserver/migrations"
)

// listed makes a published room with a name and that many members.
func (h *env) listed(name string, members int) string {
	h.T.Helper()
	room := h.Create(alice, rooms.CreateRequest{Preset: "public_chat", Visibility: "public", Name: name})
	for i := 1; i < members; i++ {
		h.Join(fmt.Sprintf("@user%d:localhost", i), room)
	}
	return room
}

func (h *env) directory(q directory.PublicQuery) *directory.PublicPage {
	h.T.Helper()
	page, err := h.Rooms.Directory.PublicRooms(h.T.Context(), q)
	h.OK(err)
	return page
}

func names(page *directory.PublicPage) []string {
	list := []string{}
	for _, r := range page.Chunk {
		list = append(list, r.Name)
	}
	return list
}

func TestDirectoryShowsWhatThereIsToKnow(t *testing.T) {
	h := newEnv(t)
	h.Public() // is not published
	full := h.Create(alice, rooms.CreateRequest{
		Preset: "public_chat", Visibility: "public", AliasName: "full", Name: "Full", Topic: "of things",
		CreationContent: roomstest.Object{"type": roomstest.Raw("m.space")},
	})
	h.Join(bob, full)
	h.SetState(alice, full, "m.room.avatar", "", `{"url":"mxc://localhost/abc"}`)
	h.SetState(alice, full, "m.room.name", "other", `{"name":"of something else"}`)
	h.SetState(alice, full, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.SetState(alice, full, "m.room.guest_access", "", `{"guest_access":"can_join"}`)
	h.OK(h.Rooms.CreateAlias(t.Context(), alice, "#another:localhost", full))
	bare := h.Create(alice, rooms.CreateRequest{Visibility: "public", Preset: "private_chat"})
	page := h.directory(directory.PublicQuery{})
	want := []*directory.RoomSummary{
		{
			RoomID: full, Joined: 2, Name: "Full", Topic: "of things", AvatarURL: "mxc://localhost/abc",
			CanonicalAlias: "#full:localhost", Aliases: []string{"#full:localhost", "#another:localhost"},
			JoinRule: "public", RoomType: "m.space", WorldReadable: true, GuestCanJoin: true,
		},
		{RoomID: bare, Joined: 1, JoinRule: "invite", GuestCanJoin: true},
	}
	if diff := cmp.Diff(want, page.Chunk, cmpopts.IgnoreUnexported(directory.RoomSummary{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if page.Total != 2 || page.NextBatch != "" || page.PrevBatch != "" {
		t.Errorf("total %d, next %q, previous %q", page.Total, page.NextBatch, page.PrevBatch)
	}
	h.Leave(alice, bare)
	if got := names(h.directory(directory.PublicQuery{})); len(got) != 1 {
		t.Errorf("a room without members is shown: %q", got)
	}
}

func TestDirectoryFollowsStateAndRedactions(t *testing.T) {
	h := newEnv(t)
	room := h.listed("before", 1)
	id := h.SetState(alice, room, "m.room.name", "", `{"name":"after"}`)
	topic := h.SetState(alice, room, "m.room.topic", "",
		`{"topic":"plain","m.topic":{"m.text":[{"body":"<b>rich</b>","mimetype":"text/html"},{"body":"from the block"}]}}`)
	if r := h.directory(directory.PublicQuery{}).Chunk[0]; r.Name != "after" || r.Topic != "from the block" {
		t.Errorf("got %+v", r)
	}
	h.Redact(alice, room, id, "")
	h.Redact(alice, room, topic, "")
	if r := h.directory(directory.PublicQuery{}).Chunk[0]; r.Name != "" || r.Topic != "" || r.JoinRule != "public" {
		t.Errorf("after the redaction: %+v", r)
	}
	for _, content := range []string{`{"name":5}`, `{"name":""}`, `{"name":"a\u0000b"}`, `{}`} {
		h.SetState(alice, room, "m.room.name", "", content)
		if r := h.directory(directory.PublicQuery{}).Chunk[0]; r.Name != "" {
			t.Errorf("%s: name %q", content, r.Name)
		}
	}
	h.SetState(alice, room, "m.room.topic", "", `{"topic":"plain","m.topic":{"m.text":"?"}}`)
	if r := h.directory(directory.PublicQuery{}).Chunk[0]; r.Topic != "plain" {
		t.Errorf("topic %q", r.Topic)
	}
}

func TestDirectoryIsPagedBothWays(t *testing.T) {
	h := newEnv(t)
	var all []string
	for i := range 7 { // of 4, 3, 3, 2, 2, 1 and 1 members
		all = append(all, fmt.Sprintf("room %d", i))
		h.listed(all[i], 4-(i+1)/2)
	}
	for _, term := range []string{"", "room"} { // with a filter and without it is paged in other ways
		for limit := 1; limit <= 8; limit++ {
			var forward []string
			var last *directory.PublicPage
			for q := (directory.PublicQuery{Limit: limit, Term: term}); ; q.Since = last.NextBatch {
				last = h.directory(q)
				if last.Total != 7 || len(last.Chunk) > limit || (last.PrevBatch != "") != (q.Since != "") {
					t.Errorf("limit %d since %q: %+v", limit, q.Since, last)
				}
				forward = append(forward, names(last)...)
				if last.NextBatch == "" {
					break
				}
			}
			matrixtest.Equal(t, fmt.Sprintf("forward by %d", limit), forward, all)
			backward := names(last)
			for last.PrevBatch != "" {
				last = h.directory(directory.PublicQuery{Limit: limit, Term: term, Since: last.PrevBatch})
				backward = append(names(last), backward...)
				if last.NextBatch == "" {
					t.Errorf("limit %d: there is no way forward again", limit)
				}
			}
			matrixtest.Equal(t, fmt.Sprintf("backward by %d", limit), backward, all)
		}
	}
}

// TestDirectoryOfLargeTopicsIsPagedByBytes allows pages with fewer rooms than the limit.
func TestDirectoryOfLargeTopicsIsPagedByBytes(t *testing.T) {
	h := newEnv(t)
	var all []string
	for i := range 7 {
		all = append(all, fmt.Sprintf("room %d", i))
		h.SetState(alice, h.listed(all[i], 1), "m.room.topic", "", fmt.Sprintf(`{"topic":%q}`, strings.Repeat("a", 50_000)))
	}
	for _, term := range []string{"", "room"} {
		page := func(since string) *directory.PublicPage {
			t.Helper()
			ctx := reserve.With(t.Context(), reserve.New(1<<20, nil).Open(alice))
			page, err := h.Rooms.Directory.PublicRooms(ctx, directory.PublicQuery{Term: term, Since: since})
			h.OK(err)
			if n := len(page.Chunk); n == 0 || n > 3 || page.Total != 7 || reserve.Used(ctx) > 512<<10 {
				t.Fatalf("since %q there are %d rooms of %d, for which %d bytes are held", since, n, page.Total, reserve.Used(ctx))
			}
			return page
		}
		last := page("")
		forward := names(last)
		for last.NextBatch != "" {
			last = page(last.NextBatch)
			forward = append(forward, names(last)...)
		}
		matrixtest.Equal(t, "forward", forward, all)
		backward := names(last)
		for last.PrevBatch != "" {
			last = page(last.PrevBatch)
			backward = append(names(last), backward...)
		}
		matrixtest.Equal(t, "backward", backward, all)
	}
}

func TestDirectoryIsFiltered(t *testing.T) {
	h := newEnv(t)
	h.listed("Café Müller", 3)
	h.Create(alice, rooms.CreateRequest{Visibility: "public", Name: "Space", CreationContent: roomstest.Object{"type": roomstest.Raw("m.space")}})
	h.Create(alice, rooms.CreateRequest{Visibility: "public", AliasName: "cheese", Topic: "Über Käse & mehr"})
	space, other := "m.space", "m.other"
	for _, test := range []struct {
		q    directory.PublicQuery
		want int
	}{
		{directory.PublicQuery{Term: "cafe"}, 1},
		{directory.PublicQuery{Term: "É MÜLL"}, 1},
		{directory.PublicQuery{Term: "  müller "}, 1},
		{directory.PublicQuery{Term: "kase &"}, 1},
		{directory.PublicQuery{Term: "#CHEESE"}, 1},
		{directory.PublicQuery{Term: "cheddar"}, 0},
		{directory.PublicQuery{Term: "%"}, 0},
		{directory.PublicQuery{Term: " "}, 3},
		{directory.PublicQuery{RoomTypes: []*string{&space}}, 1},
		{directory.PublicQuery{RoomTypes: []*string{nil}}, 2},
		{directory.PublicQuery{RoomTypes: []*string{nil, &space}}, 3},
		{directory.PublicQuery{RoomTypes: []*string{&other}}, 0},
		{directory.PublicQuery{RoomTypes: []*string{}}, 0},
		{directory.PublicQuery{RoomTypes: []*string{nil}, Term: "cafe"}, 1},
		{directory.PublicQuery{RoomTypes: []*string{&space}, Term: "cafe"}, 0},
	} {
		page := h.directory(test.q)
		if len(page.Chunk) != test.want || page.Total != int64(test.want) || page.Chunk == nil {
			t.Errorf("%+v: %d rooms of %d, want %d", test.q, len(page.Chunk), page.Total, test.want)
		}
	}
}

func TestDirectoryRefusesNonsense(t *testing.T) {
	h := newEnv(t)
	for _, q := range []directory.PublicQuery{
		{Limit: -1}, {Since: "x"}, {Since: "n"}, {Since: "n1"}, {Since: "n1_"}, {Since: "n01_1"}, {Since: "q1_1"}, {Since: "n1_1 "},
		{Since: "n99999999999999999999_1"},
	} {
		_, err := h.Rooms.Directory.PublicRooms(t.Context(), q)
		matrixtest.WantCode(t, err, matrix.InvalidParam, fmt.Sprintf("%+v", q))
	}
	if page := h.directory(directory.PublicQuery{Since: "n0_0"}); len(page.Chunk) != 0 || page.Chunk == nil {
		t.Errorf("behind the end: %+v", page)
	}
}

func TestWhoMayPublishARoom(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.Public(bob, carol)
	h.SetPower(room, map[string]int{alice: 100, carol: 50})
	listed := func(want bool) {
		t.Helper()
		if got, err := h.Rooms.Directory.Listed(ctx, room); got != want || err != nil {
			t.Errorf("listed %v %v, want %v", got, err, want)
		}
	}
	listed(false)
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, bob, room, false, true), matrix.Forbidden, "a member")
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, dave, room, false, true), matrix.Forbidden, "a stranger")
	listed(false)
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, carol, room, false, true), "", "a moderator")
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, carol, room, false, true), "", "again")
	listed(true)
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, dave, room, true, false), "", "an administrator")
	listed(false)
	h.Leave(carol, room)
	matrixtest.WantCode(t, h.Rooms.SetListed(ctx, carol, room, false, true), matrix.Forbidden, "who has left")
	for _, none := range []string{"!none:localhost", "none", ""} {
		matrixtest.WantCode(t, h.Rooms.SetListed(ctx, alice, none, true, true), matrix.NotFound, none)
		_, err := h.Rooms.Directory.Listed(ctx, none)
		matrixtest.WantCode(t, err, matrix.NotFound, none)
	}
}

func TestVisibleAreThoseInTheSameOrAnOpenRoom(t *testing.T) {
	h := newEnv(t)
	private := h.Create(alice, rooms.CreateRequest{Invite: []string{bob, carol}})
	h.Join(bob, private)
	visible := func(asker string, want ...string) {
		t.Helper()
		set, err := h.Rooms.Timeline.Visible(t.Context(), asker, []string{alice, bob, carol, dave, "@nobody:localhost"})
		h.OK(err)
		got := []string{}
		for user := range set {
			got = append(got, user)
		}
		slices.Sort(got)
		matrixtest.Equal(t, "visible to "+asker, got, want)
	}
	visible(alice, bob)
	visible(bob, alice)
	visible(carol) // who is but invited
	visible(dave)
	open := h.Public(dave)
	visible(alice, alice, bob, dave)
	visible(carol, alice, dave)
	h.SetState(alice, open, event.TypeJoinRules, "", `{"join_rule":"invite"}`)
	visible(carol)
	visible(dave, alice)
	h.SetState(alice, private, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	visible(carol, alice, bob)
	h.Leave(bob, private)
	visible(carol, alice)
	visible(alice, alice, dave)
}

func TestDirectoryOfRoomsFromBeforeItsTime(t *testing.T) {
	h := newEnv(t)
	h.Create(alice, rooms.CreateRequest{
		Preset: "public_chat", Visibility: "public", AliasName: "old", Name: "Old", Topic: "ancient", RoomVersion: "5",
	})
	odd := h.listed("x", 1)
	h.SetState(alice, odd, "m.room.name", "", `{"name":"a\u0000b"}`)
	before := h.directory(directory.PublicQuery{})
	ctx := t.Context()
	_, err := h.Pool.Exec(ctx, `UPDATE room_state SET value = NULL WHERE type NOT IN ('m.room.member', 'm.room.history_visibility')`)
	h.OK(err)
	if got := names(h.directory(directory.PublicQuery{})); strings.Join(got, "") != "" {
		t.Fatalf("the values are still there: %q", got)
	}
	// The column that the migration calls a position is now the number of the event.
	_, err = h.Pool.Exec(ctx, strings.ReplaceAll(migration(t, "00013_directories.sql"), ".position", ".event_nid"))
	h.OK(err)
	after := h.directory(directory.PublicQuery{})
	if diff := cmp.Diff(before, after, cmpopts.IgnoreUnexported(directory.RoomSummary{})); diff != "" {
		t.Error(diff)
	}
}

// migration returns the first statement of a migration, which fills a new column.
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

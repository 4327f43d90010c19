package accountdata_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/accountdata"
)

func TestWhatIsSetIsRead(t *testing.T) {
	h := newEnv(t)
	room, other := h.Public(), h.Public()
	h.set(alice, "", "org.example", `{"where": "account"}`)
	h.set(alice, room, "org.example", `{"where":"room","n":1.5}`)
	for _, test := range []struct{ user, room, typ, want string }{
		{alice, "", "org.example", `{"where":"account"}`},
		{alice, room, "org.example", `{"n":1.5,"where":"room"}`},
		{alice, other, "org.example", "M_NOT_FOUND"}, // it does not fall back on that of the account
		{bob, "", "org.example", "M_NOT_FOUND"},
		{bob, room, "org.example", "M_NOT_FOUND"},
		{alice, "", "org.example.other", "M_NOT_FOUND"},
		{alice, "!unknown:localhost", "org.example", "M_NOT_FOUND"},
		{alice, "nonsense", "org.example", "M_INVALID_PARAM"},
	} {
		if got := h.get(test.user, test.room, test.typ); got != test.want {
			t.Errorf("%s of %s in %q: %s, want %s", test.typ, test.user, test.room, got, test.want)
		}
	}
	h.set(alice, "", "org.example", `{}`)
	if got := h.get(alice, "", "org.example"); got != `{}` {
		t.Errorf("after a change: %s", got)
	}
}

func TestManagedTypesAreNotSet(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, typ := range []string{"m.fully_read", "m.push_rules"} {
		for _, in := range []string{"", room} {
			err := h.Set(t.Context(), alice, in, typ, json.RawMessage(`{}`))
			matrixtest.WantCode(t, err, matrix.BadJSON, typ)
			if e, ok := errors.AsType[*matrix.Error](err); !ok || e.HTTPStatus() != 405 {
				t.Errorf("%s in %q: %v", typ, in, err)
			}
		}
	}
	h.OK(h.SetFullyRead(t.Context(), alice, room, "$event"))
	if got := h.get(alice, room, "m.fully_read"); got != `{"event_id":"$event"}` {
		t.Errorf("the marker is %s", got)
	}
}

func TestWhatIsNoAccountDataIsRefused(t *testing.T) {
	h := newEnv(t)
	for content, want := range map[string]matrix.Code{
		`[]`: matrix.BadJSON, `"text"`: matrix.BadJSON, `{`: matrix.NotJSON, ``: matrix.NotJSON,
	} {
		matrixtest.WantCode(t, h.Set(t.Context(), alice, "", "org.example", json.RawMessage(content)), want, content)
	}
	for _, typ := range []string{"", strings.Repeat("x", 256)} {
		matrixtest.WantCode(t, h.Set(t.Context(), alice, "", typ, json.RawMessage(`{}`)), matrix.InvalidParam, "the type "+typ)
	}
	matrixtest.WantCode(t, h.Set(t.Context(), alice, "!unknown:localhost", "org.example", json.RawMessage(`{}`)), matrix.NotFound, "an unknown room")
}

func TestWhatAUserStoresIsBounded(t *testing.T) {
	h := newEnv(t)
	_, err := h.Pool.Exec(t.Context(), `
		INSERT INTO account_data (user_id, room_nid, type, content, position)
		SELECT '@alice:localhost', 0, 'org.example.' || n, '{}', 0 FROM generate_series(1, 50000) n
		UNION ALL SELECT '@bob:localhost', 0, 'org.example.1', convert_to('{"x":"' || repeat('x', 32 << 20) || '"}', 'UTF8'), 0`)
	h.OK(err)
	for _, user := range []string{alice, bob} {
		matrixtest.WantCode(t, h.Set(t.Context(), user, "", "org.example.more", json.RawMessage(`{}`)), matrix.TooLarge, user)
		matrixtest.WantCode(t, h.SetTag(t.Context(), user, h.Public(), "u.more", json.RawMessage(`{}`)), matrix.TooLarge, "a tag of "+user)
		h.set(user, "", "org.example.1", `{"in":"place of another"}`)
	}
	h.set(bob, "", "org.example.more", `{}`)
	h.set(carol, "", "org.example.more", `{}`)
}

func TestChangesAreThoseOfTheUserInOrder(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.set(alice, "", "a", `{}`)
	from := h.Journal.Position()
	h.set(alice, room, "b", `{"n":1}`)
	h.set(bob, "", "b", `{}`)
	h.set(alice, "", "c", `{}`)
	h.set(alice, room, "b", `{"n":2}`)
	upTo := h.Journal.Position()
	h.set(alice, "", "d", `{}`)
	all := func(journal.RoomNID, string) bool { return true }
	items, _, err := h.Read(t.Context(), accountdata.Query{UserID: alice, After: from, UpTo: upTo, Wants: all})
	h.OK(err)
	got := ""
	for _, i := range items {
		got += string(i.AppendJSON(nil)) + " "
	}
	if want := `{"content":{},"type":"c"} {"content":{"n":2},"type":"b"} `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	nid, err := h.Rooms.Timeline.Number(t.Context(), room)
	h.OK(err)
	ofRoom := func(upTo journal.Position) []*accountdata.Item {
		q := accountdata.Query{UserID: alice, After: upTo, UpTo: upTo, Rooms: []journal.RoomNID{nid}, Wants: all}
		items, _, err := h.Read(t.Context(), q)
		h.OK(err)
		return items
	}
	if items = ofRoom(upTo); len(items) != 1 || items[0].Type != "b" {
		t.Errorf("of the room: %v", items)
	}
	if items = ofRoom(from); len(items) != 0 {
		t.Errorf("of the room before: %v", items)
	}
}

func TestChangeWakesItsUserAlone(t *testing.T) {
	h := newEnv(t)
	listen := func(user string) <-chan struct{} {
		l := h.Journal.Listen()
		l.Follow(journal.Topic{User: user})
		t.Cleanup(l.Close)
		return l.Woken()
	}
	mine, other := listen(alice), listen(bob)
	h.set(alice, h.Public(), "org.example", `{}`)
	select {
	case <-mine:
	default:
		t.Error("the user was not woken before the answer")
	}
	select {
	case <-other:
		t.Error("another one was woken")
	default:
	}
}

func (h *env) ignored(user string) []string {
	h.T.Helper()
	list, err := h.Ignored(h.T.Context(), user)
	h.OK(err)
	return slices.Sorted(maps.Keys(list))
}

func TestIgnoredUsers(t *testing.T) {
	h := newEnv(t)
	for _, test := range []struct{ content, want string }{
		{`{"ignored_users":{"@bob:localhost":{}}}`, "[@bob:localhost]"},
		{`{"ignored_users":{"@alice:localhost":{},"@bob:localhost":1,"@carol:localhost":{}}}`, "[@bob:localhost @carol:localhost]"},
		{`{"ignored_users":["@bob:localhost"]}`, "[]"},
		{`{}`, "[]"},
		{`{"ignored_users":{"@carol:localhost":{}}}`, "[@carol:localhost]"},
		{`{"ignored_users":{}}`, "[]"},
	} {
		for range 2 { // the second time from memory
			h.set(alice, "", "m.ignored_user_list", test.content)
			if got := fmt.Sprint(h.ignored(alice)); got != test.want {
				t.Errorf("%s: %s, want %s", test.content, got, test.want)
			}
		}
	}
	h.set(alice, h.Public(), "m.ignored_user_list", `{"ignored_users":{"@bob:localhost":{}}}`)
	if got := h.ignored(alice); len(got) != 0 {
		t.Errorf("a list in a room ignores %v", got)
	}
}

func TestIgnoredUsersAreKeptInMemory(t *testing.T) {
	h := newEnv(t)
	h.set(alice, "", "m.ignored_user_list", `{"ignored_users":{"@bob:localhost":{}}}`)
	h.ignored(alice)
	h.ignored(bob)
	before := h.Pool.Stat().AcquireCount()
	h.ignored(alice)
	h.ignored(bob)
	if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
		t.Errorf("the database was asked %d times", more)
	}
	long := map[string]struct{}{}
	for i := range 1001 {
		long[fmt.Sprintf("@u%d:localhost", i)] = struct{}{}
	}
	content, err := json.Marshal(map[string]any{"ignored_users": long})
	h.OK(err)
	h.set(bob, "", "m.ignored_user_list", string(content))
	for range 2 {
		if got := len(h.ignored(bob)); got != 1001 {
			t.Errorf("%d of the long list are ignored", got)
		}
	}
}

// A list that another process has changed is known as soon as its position is.
func TestIgnoredUsersOfAnotherProcess(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool)
	h.ignored(alice)
	other.set(alice, "", "m.ignored_user_list", `{"ignored_users":{"@bob:localhost":{}}}`)
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	if got := h.ignored(alice); len(got) != 1 {
		t.Errorf("ignored: %v", got)
	}
}

func TestManyWritersAtOnce(t *testing.T) {
	h := newEnv(t)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := range 20 {
				content := fmt.Sprintf(`{"n":%d}`, n)
				if err := h.Set(t.Context(), alice, "", fmt.Sprint("writer", w), json.RawMessage(content)); err != nil {
					t.Error(err)
					return
				}
				if got, err := h.Get(t.Context(), alice, "", fmt.Sprint("writer", w)); err != nil || string(got) != content {
					t.Errorf("read %s %v after %s was written", got, err, content)
				}
			}
		})
	}
	all.Wait()
}

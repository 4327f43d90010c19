package syncstream_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/syncstream"
)

func TestStoredFilterIsUsed(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(`{"room":{"timeline":{"limit":1}}}`))
	h.OK(err)
	equal(t, "timeline", h.client(bob, id).sync().in(t, room).timeline(), "bob join")
}

func TestUsualPollNeedsNoDatabase(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(lazy))
	h.OK(err)
	c := h.synced(bob, id)
	h.say(alice, room, "members come first")
	c.sync()
	before := h.Pool.Stat().AcquireCount()
	wantEmpty(t, c.sync())
	c.Filter = lazy
	wantEmpty(t, c.sync())
	if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
		t.Errorf("two polls with nothing new asked the database %d times", more)
	}
	h.say(alice, room, "hi")
	before = h.Pool.Stat().AcquireCount()
	c.Filter = id
	equal(t, "timeline", c.sync().in(t, room).timeline(), "hi")
	if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
		t.Errorf("a poll with one new message asked the database %d times", more)
	}
}

func TestStoredFilterIsGivenBackAsItWas(t *testing.T) {
	h := newEnv(t)
	definition := `{"room": {"timeline": {"limit": 1, "unknown": [1.5]}}, "event_format": "client"}`
	id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition))
	h.OK(err)
	got, err := h.StoredFilter(t.Context(), bob, id)
	h.OK(err)
	if string(got) != definition {
		t.Errorf("got %s, want %s", got, definition)
	}
	if strings.HasPrefix(id, "{") || id == "" {
		t.Errorf("the ID is %q", id)
	}
}

func TestSameDefinitionHasTheSameID(t *testing.T) {
	h := newEnv(t)
	ids := map[string]string{}
	for _, definition := range []string{`{"room":{"rooms":[]},"event_format":"client"}`, `{"event_format": "client", "room": {"rooms": []}}`, `{}`, `{ }`} {
		id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition))
		h.OK(err)
		ids[definition] = id
	}
	if ids[`{}`] != ids[`{ }`] || ids[`{"room":{"rooms":[]},"event_format":"client"}`] != ids[`{"event_format": "client", "room": {"rooms": []}}`] {
		t.Errorf("the same filters have several IDs: %v", ids)
	}
	if ids[`{}`] == ids[`{"room":{"rooms":[]},"event_format":"client"}`] {
		t.Errorf("different filters have one ID: %v", ids)
	}
}

func TestFiltersOfOthersAreNotFound(t *testing.T) {
	h := newEnv(t)
	id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(`{}`))
	h.OK(err)
	_, err = h.StoredFilter(t.Context(), alice, id)
	matrixtest.WantCode(t, err, matrix.NotFound, "another user's")
	for _, id := range []string{"", "1", "-1", "x", "0x0", "99999999999999999999", "\x00"} {
		_, err = h.StoredFilter(t.Context(), bob, id)
		matrixtest.WantCode(t, err, matrix.NotFound, id)
	}
	_, err = h.Sync(t.Context(), syncstream.Query{UserID: alice, Filter: id})
	matrixtest.WantCode(t, err, matrix.InvalidParam, "another user's in /sync")
}

func TestFiltersStoredAtOnce(t *testing.T) {
	h := newEnv(t)
	var wg sync.WaitGroup
	ids := make([]string, 60)
	for i := range ids {
		wg.Go(func() {
			id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(fmt.Sprintf(`{"n":%d}`, i/2)))
			if err != nil {
				t.Errorf("filter %d: %v", i, err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for i := 0; i < len(ids); i += 2 {
		if ids[i] != ids[i+1] || seen[ids[i]] {
			t.Errorf("filters %d and %d have IDs %s and %s", i, i+1, ids[i], ids[i+1])
		}
		seen[ids[i]] = true
	}
}

func TestTooManyFilters(t *testing.T) {
	h := newEnv(t)
	_, err := h.Pool.Exec(t.Context(), `INSERT INTO filters (user_id, filter_id, definition, hash)
		SELECT $1, n, '{}', n::text::bytea FROM generate_series(0, 998) n`, bob)
	h.OK(err)
	id, err := h.StoreFilter(t.Context(), bob, json.RawMessage(`{"last":1}`))
	h.OK(err)
	_, err = h.StoreFilter(t.Context(), bob, json.RawMessage(`{"too":"many"}`))
	matrixtest.WantCode(t, err, matrix.Unknown, "one too many")
	again, err := h.StoreFilter(t.Context(), bob, json.RawMessage(`{"last":1}`))
	h.OK(err)
	if again != id {
		t.Errorf("a filter that is there has ID %s, then %s", id, again)
	}
	_, err = h.StoreFilter(t.Context(), carol, json.RawMessage(`{"too":"many"}`))
	h.OK(err)
}

func TestBadFilters(t *testing.T) {
	h := newEnv(t)
	deep := strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)
	for definition, code := range map[string]matrix.Code{
		`{`:                                                          matrix.NotJSON,
		`{"room":`:                                                   matrix.NotJSON,
		"{\"room\":\"\xff\"}":                                        matrix.NotJSON,
		`{"a":1,"a":2}`:                                              matrix.BadJSON,
		`{"a":` + deep + `}`:                                         matrix.BadJSON,
		`{"room":[]}`:                                                matrix.BadJSON,
		`{"room":{"timeline":{"limit":"x"}}}`:                        matrix.BadJSON,
		`{"room":{"timeline":{"limit":1.5}}}`:                        matrix.BadJSON,
		`{"room":{"timeline":{"limit":1e400}}}`:                      matrix.BadJSON,
		`{"room":{"timeline":{"limit":-1}}}`:                         matrix.InvalidParam,
		`{"room":{"timeline":{"types":"m.room"}}}`:                   matrix.BadJSON,
		`{"room":{"timeline":{"types":[1]}}}`:                        matrix.BadJSON,
		`{"room":{"timeline":{"contains_url":1}}}`:                   matrix.BadJSON,
		`{"room":{"timeline":{"not_senders":{}}}}`:                   matrix.BadJSON,
		`{"room":{"timeline":{"senders":["\u0000"]}}}`:               matrix.InvalidParam,
		`{"room":{"state":{"types":["a\u0000b"]}}}`:                  matrix.InvalidParam,
		`{"room":{"state":{"lazy_load_members":"x"}}}`:               matrix.BadJSON,
		`{"room":{"state":{"unread_thread_notifications":1}}}`:       matrix.BadJSON,
		`{"room":{"include_leave":"true"}}`:                          matrix.BadJSON,
		`{"room":{"rooms":"x"}}`:                                     matrix.BadJSON,
		`{"room":{"ephemeral":{"types":[{}]}}}`:                      matrix.BadJSON,
		`{"room":{"account_data":[]}}`:                               matrix.BadJSON,
		`{"account_data":{"types":"x"}}`:                             matrix.BadJSON,
		`{"account_data":{"limit":-5}}`:                              matrix.InvalidParam,
		`{"presence":{"not_types":[null,1]}}`:                        matrix.BadJSON,
		`{"event_fields":"type"}`:                                    matrix.BadJSON,
		`{"event_fields":[1]}`:                                       matrix.BadJSON,
		`{"event_format":1}`:                                         matrix.BadJSON,
		`{"event_format":"xml"}`:                                     matrix.InvalidParam,
		`{"room":{"rooms":["` + strings.Repeat("x", 64<<10) + `"]}}`: matrix.TooLarge,
	} {
		what := definition[:min(len(definition), 60)]
		_, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition))
		matrixtest.WantCode(t, err, code, "stored: "+what)
		_, err = h.Sync(t.Context(), syncstream.Query{UserID: bob, Filter: definition})
		matrixtest.WantCode(t, err, code, "inline: "+what)
	}
	for _, definition := range []string{`[]`, `null`, `"x"`, `1`} {
		_, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition))
		matrixtest.WantCode(t, err, matrix.BadJSON, definition)
	}
}

// A filter that names a room by its alias, or a user by a display name, would match nothing,
// and the client would not learn why.
func TestFilterNamesRoomsAndUsersThatCannotBe(t *testing.T) {
	h := newEnv(t)
	long := "!" + strings.Repeat("a", 255)
	for list, impossible := range map[string][]string{
		"senders": {"", "alice", "@", "@alice", "!a:b", "*", "@a*"}, "not_senders": {"bob", "@bob"},
		"rooms": {"", "#alias:localhost", "house", "!", long, "*"}, "not_rooms": {"#alias:localhost"},
	} {
		for _, id := range impossible {
			part := fmt.Sprintf(`{%q:[%q]}`, list, id)
			definitions := []string{`{"presence":` + part + `}`, `{"account_data":` + part + `}`}
			for _, inRoom := range []string{"timeline", "state", "ephemeral", "account_data"} {
				definitions = append(definitions, `{"room":{"`+inRoom+`":`+part+`}}`)
			}
			if strings.HasSuffix(list, "rooms") {
				definitions = append(definitions, `{"room":`+part+`}`)
			}
			for _, definition := range definitions {
				_, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition))
				matrixtest.WantCode(t, err, matrix.InvalidParam, "stored: "+definition)
				_, err = h.Sync(t.Context(), syncstream.Query{UserID: bob, Filter: definition})
				matrixtest.WantCode(t, err, matrix.InvalidParam, "inline: "+definition)
			}
			_, err := h.EventFilter(part)
			matrixtest.WantCode(t, err, matrix.InvalidParam, "of /messages: "+part)
		}
	}
}

func TestFiltersThatAreFine(t *testing.T) {
	h := newEnv(t)
	for _, definition := range []string{
		`{}`, `{"unknown":{"nested":[1.5,null]}}`, `{"room":null}`, `{"room":{"timeline":null,"state":{}}}`,
		`{"room":{"timeline":{"limit":9007199254740991}}}`, `{"event_format":"federation"}`,
		`{"room":{"timeline":{"types":[""],"senders":["@not_here:example.org"]}}}`,
		`{"presence":{"types":["m.presence"],"not_senders":["@a:b"]},"account_data":{"limit":3}}`,
	} {
		if _, err := h.StoreFilter(t.Context(), bob, json.RawMessage(definition)); err != nil {
			t.Errorf("%s: %v", definition, err)
		}
		if _, err := h.Sync(t.Context(), syncstream.Query{UserID: bob, Filter: definition}); err != nil {
			t.Errorf("%s in /sync: %v", definition, err)
		}
	}
}

func TestEventFilter(t *testing.T) {
	h := newEnv(t)
	f, err := h.EventFilter(`{"types":["a"],"limit":5,"lazy_load_members":true}`)
	if err != nil || (*f.Types)[0] != "a" || *f.Limit != 5 || !f.LazyLoadMembers {
		t.Errorf("got %+v, %v", f, err)
	}
	for definition, code := range map[string]matrix.Code{
		"": matrix.NotJSON, "x": matrix.NotJSON, "[]": matrix.BadJSON, `{"types":1}`: matrix.BadJSON, `{"limit":-1}`: matrix.InvalidParam,
	} {
		if f, err := h.EventFilter(definition); f != nil || !matrix.IsCode(err, code) {
			t.Errorf("%q: got %v, %v, want %s", definition, f, err, code)
		}
	}
}

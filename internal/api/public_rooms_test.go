package api

import (
	"slices"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestPublicRoomsAsInTheTutorial(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	anyone := matrixtest.At(t, alice.BaseURL, alice.HTTP)
	if got := anyone.Do("GET", "/publicRooms", nil).OK(); len(got.At("chunk").([]any)) != 0 || got.At("total_room_count_estimate") != 0.0 {
		t.Errorf("an empty directory: %s", got.Body)
	}
	small := alice.CreateRoom(map[string]any{"visibility": "public", "name": "Small", "topic": "tiny", "room_alias_name": "small"})
	large := alice.CreateRoom(map[string]any{"visibility": "public", "name": "Large"})
	bob.Join(large)
	alice.CreateRoom(map[string]any{"preset": "public_chat", "name": "Hidden"})
	answer := anyone.Do("GET", "/publicRooms", nil).OK()
	for place, want := range map[string]any{
		"room_id": small, "name": "Small", "topic": "tiny", "canonical_alias": "#small:localhost", "num_joined_members": 1.0,
		"world_readable": false, "guest_can_join": false, "join_rule": "public",
	} {
		if got := answer.At("chunk", 1, place); got != want {
			t.Errorf("%s: %v, want %v", place, got, want)
		}
	}
	if answer.String("chunk", 1, "aliases", 0) != "#small:localhost" || answer.String("chunk", 0, "room_id") != large {
		t.Errorf("got %s", answer.Body)
	}
	for _, missing := range []string{"topic", "aliases", "canonical_alias", "avatar_url", "room_type"} {
		if got := answer.At("chunk", 0, missing); got != nil {
			t.Errorf("%s is there: %v", missing, got)
		}
	}
	first := anyone.Do("GET", "/publicRooms?limit=1&server=localhost", nil).OK()
	if first.String("chunk", 0, "room_id") != large || first.At("prev_batch") != nil {
		t.Errorf("first page: %s", first.Body)
	}
	second := anyone.Do("GET", "/publicRooms?limit=1&since="+first.String("next_batch"), nil).OK()
	if second.String("chunk", 0, "room_id") != small || second.At("next_batch") != nil {
		t.Errorf("second page: %s", second.Body)
	}
	back := bob.Do("POST", "/publicRooms", map[string]any{"limit": 1, "since": second.String("prev_batch")}).OK()
	if back.String("chunk", 0, "room_id") != large {
		t.Errorf("back: %s", back.Body)
	}
}

func TestPublicRoomsFilter(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	alice.CreateRoom(map[string]any{"visibility": "public", "name": "Café", "creation_content": map[string]any{"type": "m.space"}})
	alice.CreateRoom(map[string]any{"visibility": "public", "name": "Tea"})
	for body, want := range map[string][]string{
		`{}`: {"Café", "Tea"},
		`{"filter":{"generic_search_term":"CAFE"}}`:                  {"Café"},
		`{"filter":{"room_types":[null]}}`:                           {"Tea"},
		`{"filter":{"room_types":["m.space",null]},"limit":5}`:       {"Café", "Tea"},
		`{"filter":{"generic_search_term":null,"room_types":null}}`:  {"Café", "Tea"},
		`{"include_all_networks":true,"third_party_instance_id":""}`: {"Café", "Tea"},
		`{"third_party_instance_id":"irc"}`:                          {},
		`{"filter":{"generic_search_term":"coffee"}}`:                {},
	} {
		answer := bob.Do("POST", "/publicRooms", body).OK()
		names := []string{}
		for i := range answer.At("chunk").([]any) {
			names = append(names, answer.String("chunk", i, "name"))
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: got %q, want %q", body, names, want)
		}
	}
	if got := bob.Do("POST", "/publicRooms", nil).OK(); len(got.At("chunk").([]any)) != 2 {
		t.Errorf("without a body: %s", got.Body)
	}
}

func TestPublicRoomsRefusals(t *testing.T) {
	t.Parallel()
	alice, _ := newPair(t)
	anyone := matrixtest.At(t, alice.BaseURL, alice.HTTP)
	anyone.Do("POST", "/publicRooms", `{}`).Refused(401, "M_MISSING_TOKEN")
	for _, test := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/publicRooms?since=x", ``, 400, "M_INVALID_PARAM"},
		{"/publicRooms?limit=-1", ``, 400, "M_INVALID_PARAM"},
		{"/publicRooms?server=elsewhere.example", ``, 403, "M_FORBIDDEN"},
		{"/publicRooms", `{"limit":-1}`, 400, "M_INVALID_PARAM"},
		{"/publicRooms", `{"limit":"1"}`, 400, "M_BAD_JSON"},
		{"/publicRooms", `{"filter":{"room_types":[1]}}`, 400, "M_BAD_JSON"},
		{"/publicRooms", `{"third_party_instance_id":"irc","include_all_networks":true}`, 400, "M_INVALID_PARAM"},
		{"/publicRooms?server=elsewhere.example", `{}`, 403, "M_FORBIDDEN"},
	} {
		method := "POST"
		if test.body == "" {
			method = "GET"
		}
		if answer := alice.Do(method, test.path, test.body); answer.Status != test.status || answer.Errcode() != test.code {
			t.Errorf("%s %s: got %d %s, want %d %s", test.path, test.body, answer.Status, answer.Body, test.status, test.code)
		}
	}
}

func TestVisibilityInTheDirectory(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	anyone := matrixtest.At(t, alice.BaseURL, alice.HTTP)
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	path := matrixtest.Path("directory", "list", "room", room)
	is := func(want string) {
		t.Helper()
		if got := anyone.Do("GET", path, nil).OK().String("visibility"); got != want {
			t.Errorf("visibility %q, want %q", got, want)
		}
	}
	is("private")
	alice.Do("PUT", path, `{"visibility":"public"}`).OK()
	is("public")
	bob.Do("PUT", path, `{"visibility":"private"}`).Refused(403, "M_FORBIDDEN")
	alice.Do("PUT", path, `{"visibility":"private"}`).OK()
	is("private")
	alice.Do("PUT", path, `{}`).OK() // public is the default
	is("public")
	alice.Do("PUT", path, `{"visibility":"secret"}`).Refused(400, "M_INVALID_PARAM")
	alice.Do("PUT", path, `{"visibility":1}`).Refused(400, "M_BAD_JSON")
	anyone.Do("PUT", path, `{"visibility":"public"}`).Refused(401, "M_MISSING_TOKEN")
	none := matrixtest.Path("directory", "list", "room", "!none:localhost")
	anyone.Do("GET", none, nil).Refused(404, "M_NOT_FOUND")
	alice.Do("PUT", none, `{"visibility":"public"}`).Refused(404, "M_NOT_FOUND")
}

package api

import (
	"fmt"
	"slices"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// listOf changes the list of a connection.
func (s *slider) listOf(change func(list map[string]any)) {
	change(s.body["lists"].(map[string]any)["all_rooms"].(map[string]any))
}

func TestSlidingSyncOfRanges(t *testing.T) {
	t.Parallel()
	alice, bob := newPair(t)
	var rooms []string
	for range 4 {
		room := alice.CreateRoom(openRoom)
		bob.Join(room)
		rooms = append(rooms, room)
	}
	list := roomList(alice, 1)
	equalRooms(t, "the newest", list.next(), rooms[2:]...)
	list.listOf(func(l map[string]any) { l["ranges"] = []any{[]int{0, 99}} })
	all := list.next()
	equalRooms(t, "the others", all, rooms[:2]...)
	if got := all.At("lists", "all_rooms", "count"); got != 4.0 {
		t.Errorf("count is %v", got)
	}
	list.listOf(func(l map[string]any) { l["ranges"] = []any{[]int{0, 0}} })
	list.next()
	for _, i := range []int{0, 0, 1} { // the last one is in the range alone
		bob.SendText(rooms[i], fmt.Sprint("to ", i))
	}
	equalRooms(t, "in the range", list.next(), rooms[1])
	list.listOf(func(l map[string]any) { l["ranges"] = []any{[]int{0, 99}} })
	behind := list.next()
	equalRooms(t, "what has fallen behind", behind, rooms[0])
	matrixtest.Equal(t, "its timeline", bodiesOf(behind.Events("rooms", rooms[0], "timeline")), []string{"to 0"})
	if behind.At("rooms", rooms[0], "limited") != true || behind.At("rooms", rooms[0], "initial") != nil {
		t.Errorf("there was one more: %s", behind.Body)
	}
	equalRooms(t, "nothing more", list.next())
}

func TestSlidingSyncFilters(t *testing.T) {
	t.Parallel()
	alice, bob, plain := shared(t)
	space := alice.CreateRoom(map[string]any{"preset": "public_chat", "creation_content": map[string]any{"type": "m.space"}})
	encrypted := alice.CreateRoom(openRoom)
	alice.SetState(encrypted, "m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
	alice.SetState(space, "m.space.child", plain, map[string]any{"via": []string{"localhost"}})
	direct := alice.CreateRoom(openRoom)
	alice.Do("PUT", dataPath(alice.UserID, "", "m.direct"), map[string]any{bob.UserID: []string{direct}}).OK()
	alice.Do("PUT", tagPath(alice.UserID, plain, "m.favourite"), `{}`).OK()
	invite := bob.CreateRoom(nil)
	change(bob, invite, "invite", whom(alice)).OK()
	for filters, want := range map[string][]string{
		`{}`:                                {plain, space, encrypted, direct, invite},
		`{"is_dm":true}`:                    {direct},
		`{"is_dm":false,"is_invite":false}`: {plain, space, encrypted},
		`{"is_invite":true}`:                {invite},
		`{"is_invited":true}`:               {invite},
		`{"is_encrypted":true}`:             {encrypted},
		`{"is_encrypted":false,"is_invite":false}`:                     {plain, space, direct},
		`{"room_types":["m.space"]}`:                                   {space},
		`{"room_types":[null],"is_invite":false}`:                      {plain, encrypted, direct},
		`{"not_room_types":["m.space",null]}`:                          {},
		`{"room_types":[]}`:                                            {},
		`{"tags":["m.favourite"]}`:                                     {plain},
		`{"not_tags":["m.favourite"],"is_dm":false,"is_invite":false}`: {space, encrypted},
		`{"spaces":["` + space + `"]}`:                                 {plain},
		`{"spaces":[]}`:                                                {},
		`{"unknown":1,"room_name_like":"x"}`:                           {plain, space, encrypted, direct, invite},
	} {
		answer := alice.Do("POST", slidingPath, `{"lists":{"a":{"ranges":[[0,9]],"timeline_limit":0,"required_state":[],"filters":`+filters+`}}}`).OK()
		equalRooms(t, filters, answer, want...)
		if got := answer.At("lists", "a", "count"); got != float64(len(want)) {
			t.Errorf("%s: count is %v", filters, got)
		}
	}
}

func TestSlidingSyncOfSubscriptions(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	for _, text := range []string{"1", "2", "3"} {
		bob.SendText(room, text)
	}
	alice.SetState(room, "m.room.pinned_events", "", map[string]any{"pinned": []string{}})
	bob.SendText(room, "4")
	other := bob.CreateRoom(nil)
	list := roomList(alice, 19)
	list.next()
	list.body["room_subscriptions"] = map[string]any{
		room:  map[string]any{"timeline_limit": 3, "required_state": []any{[]string{"m.room.pinned_events", ""}}},
		other: map[string]any{"timeline_limit": 3, "required_state": []any{[]string{"*", "*"}}},
	}
	opened := list.await() // at once
	equalRooms(t, "opened", opened, room)
	matrixtest.Equal(t, "timeline", bodiesOf(opened.Events("rooms", room, "timeline")), []string{"3", "", "4"})
	if opened.At("rooms", room, "unstable_expanded_timeline") != true || opened.At("rooms", room, "num_live") != 0.0 {
		t.Errorf("the timeline is longer: %s", opened.Body)
	}
	if got := typesOf(opened.Events("rooms", room, "required_state")); !slices.Contains(got, "m.room.pinned_events") {
		t.Errorf("state: %q", got)
	}
	equalRooms(t, "it is known", list.next())
	delete(list.body, "room_subscriptions")
	list.next()
	bob.SendText(room, "5")
	matrixtest.Equal(t, "goes on", bodiesOf(list.next().Events("rooms", room, "timeline")), []string{"5"})
}

func TestSlidingSyncRequiredState(t *testing.T) {
	t.Parallel()
	alice, bob, room := shared(t)
	alice.SetState(room, "a.b", "x", map[string]any{})
	alice.SetState(room, "a.b", "y", map[string]any{})
	bob.SendText(room, "hello")
	for required, want := range map[string][]string{
		`[]`:                                    {},
		`[["a.b","*"]]`:                         {"a.b", "a.b"},
		`[["a.b","x"],["a.b","x"],["a.c","*"]]`: {"a.b"},
		`[["*","y"]]`:                           {"a.b"},
		`[["m.room.member","$ME"]]`:             {"m.room.member " + alice.UserID},
		`[["m.room.member","$LAZY"]]`:           {"m.room.member " + bob.UserID},
		`[["m.room.member","*"]]`:               {"m.room.member " + alice.UserID, "m.room.member " + bob.UserID},
		`[["m.room.member","` + bob.UserID + `"],["m.room.member","@nobody:localhost"]]`: {"m.room.member " + bob.UserID},
	} {
		answer := alice.Do("POST", slidingPath, `{"lists":{"a":{"range":[0,9],"timeline_limit":1,"required_state":`+required+`}}}`).OK()
		got := []string{}
		for _, e := range answer.Events("rooms", room, "required_state") {
			if got = append(got, e.Type); e.Type == "m.room.member" {
				got[len(got)-1] += " " + *e.StateKey
			}
		}
		slices.Sort(got)
		matrixtest.Equal(t, required, got, want)
	}
	all := func(required string) (members, others int) {
		answer := alice.Do("POST", slidingPath, `{"room_subscriptions":{"`+room+`":{"timeline_limit":1,"required_state":`+required+`}}}`).OK()
		for _, e := range answer.Events("rooms", room, "required_state") {
			if e.Type == "m.room.member" {
				members++
			} else {
				others++
			}
		}
		return members, others
	}
	if members, others := all(`[["*","*"]]`); members != 2 || others < 5 {
		t.Errorf("all: %d members, %d others", members, others)
	}
	if members, others := all(`[["*","*"],["m.room.member","$LAZY"]]`); members != 1 || others < 5 {
		t.Errorf("all, lazily: %d members, %d others", members, others)
	}
}

func TestSlidingSyncRefusesBadValues(t *testing.T) {
	t.Parallel()
	alice, _, room := shared(t)
	many := func(entry string, n int) string {
		list := ""
		for i := range n {
			list += fmt.Sprintf(`,"%d%s`, i, entry)
		}
		return list[1:]
	}
	list := func(members string) string { return `{"lists":{"a":{` + members + `}}}` }
	for body, want := range map[string]string{
		`[]`: "M_BAD_JSON", `{`: "M_NOT_JSON", `{"conn_id":1}`: "M_BAD_JSON",
		`{"conn_id":"` + fmt.Sprintf("%0256d", 1) + `"}`: "M_INVALID_PARAM",
		`{"lists":[]}`: "M_BAD_JSON", `{"lists":{"":{}}}`: "M_INVALID_PARAM", `{"lists":{` + many(`":{}`, 101) + `}}`: "M_INVALID_PARAM",
		list(`"timeline_limit":-1`): "M_INVALID_PARAM", list(`"timeline_limit":"1"`): "M_BAD_JSON", list(`"timeline_limit":1.5`): "M_BAD_JSON",
		list(`"ranges":[[0]]`): "M_INVALID_PARAM", list(`"ranges":[[-1,2]]`): "M_INVALID_PARAM", list(`"ranges":[[3,2]]`): "M_INVALID_PARAM",
		list(`"ranges":[0,2]`): "M_BAD_JSON", list(`"range":[0]`): "M_INVALID_PARAM",
		list(`"ranges":[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]`): "M_INVALID_PARAM",
		list(`"required_state":[["a"]]`): "M_INVALID_PARAM", list(`"required_state":["a"]`): "M_BAD_JSON",
		list(`"required_state":[["a","b","c"]]`): "M_INVALID_PARAM",
		list(`"filters":{"is_dm":1}`):            "M_BAD_JSON", list(`"filters":{"spaces":"a"}`): "M_BAD_JSON",
		`{"room_subscriptions":{"room":{}}}`:                                 "M_INVALID_PARAM",
		`{"room_subscriptions":{"` + room + `":{"timeline_limit":-1}}}`:      "M_INVALID_PARAM",
		`{"extensions":{"to_device":{"enabled":"yes"}}}`:                     "M_BAD_JSON",
		`{"extensions":{"to_device":{"enabled":true,"since":"x"}}}`:          "M_INVALID_PARAM",
		`{"extensions":{"to_device":{"enabled":true,"since":"s999999999"}}}`: "M_INVALID_PARAM",
		`{"extensions":{"to_device":{"enabled":true,"limit":0}}}`:            "M_INVALID_PARAM",
		`{"extensions":{"receipts":{"enabled":true,"rooms":"*"}}}`:           "M_BAD_JSON",
	} {
		t.Log(body[:min(len(body), 100)])
		alice.Do("POST", slidingPath, body).Refused(400, want)
	}
	for query, want := range map[string]string{"timeout=x": "M_INVALID_PARAM", "set_presence=gone": "M_INVALID_PARAM", "pos=c1_s1_": "M_UNKNOWN_POS", "pos=x": "M_UNKNOWN_POS", "pos=c0_s999999999": "M_UNKNOWN_POS"} {
		t.Log(query)
		alice.Do("POST", slidingPath+"?"+query, `{}`).Refused(400, want)
	}
	alice.Do("POST", slidingPath, `{"extensions":{"org.example":{"enabled":true}},"unsubscribe_rooms":["x"],"txn_id":"1"}`).OK()
	alice.Do("POST", slidingPath, nil).OK()
}

// What a client has got is known after a restart, until the device is logged out.
func TestSlidingSyncAfterARestart(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	alice := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler()).Register("alice", "wordpass")
	phone := alice.Login("alice", "wordpass")
	room := alice.CreateRoom(openRoom)
	list := roomList(phone, 19)
	equalRooms(t, "first", list.next(), room)
	other := matrixtest.New(t, newAPI(t, servicesOn(t, pool)).Handler())
	other.Token, other.UserID = phone.Token, phone.UserID
	list.Client = other
	equalRooms(t, "in another process", list.next())
	id := alice.SendText(room, "hello")
	after := list.await()
	if events := after.Events("rooms", room, "timeline"); len(events) != 1 || events[0].ID != id || after.At("rooms", room, "initial") != nil {
		t.Errorf("it goes on: %s", after.Body)
	}
	var rows int
	count := func() int {
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM sliding_sync_connections`).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if count() != 1 {
		t.Errorf("%d rows for one connection, of which nothing but the position has changed", rows)
	}
	for i := range 20 {
		list.pos, list.body["conn_id"] = "", fmt.Sprint(i)
		list.next()
	}
	if count() != 16 {
		t.Errorf("%d rows for 21 connections", rows)
	}
	phone.Do("POST", "/logout", nil).OK()
	if count() != 0 {
		t.Errorf("%d rows after the end of the device", rows)
	}
}

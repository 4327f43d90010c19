package rooms_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

func TestNewRoomHasItsEventsInTheSpecifiedOrder(t *testing.T) {
	h := newEnv(t)
	q := rooms.CreateRequest{
		Name: "The Grand Duke", Topic: "All about happy hour", Invite: []string{carol, bob, carol},
		InitialState: []rooms.InitialState{
			{Type: "org.example.second", StateKey: "b", Content: roomstest.Raw(map[string]int{"n": 2})},
			{Type: "org.example.first", StateKey: "a", Content: roomstest.Raw(map[string]int{"n": 1})},
		},
	}
	for version := 1; version <= 12; version++ {
		q.RoomVersion, q.AliasName = fmt.Sprint(version), fmt.Sprintf("thepub%d", version)
		room := h.Create(alice, q)
		matrixtest.Equal(t, fmt.Sprintf("version %d", version), roomstest.Keys(h.History(alice, room)), []string{
			"m.room.create|", "m.room.member|" + alice, "m.room.power_levels|", "m.room.canonical_alias|",
			"m.room.join_rules|", "m.room.history_visibility|", "m.room.guest_access|",
			"org.example.second|b", "org.example.first|a", "m.room.name|", "m.room.topic|",
			"m.room.member|" + carol, "m.room.member|" + bob,
		})
		h.WantContent(alice, room, "m.room.name", "", `{"name":"The Grand Duke"}`)
		h.WantContent(alice, room, "m.room.topic", "", `{"topic":"All about happy hour",
			"m.topic":{"m.text":[{"body":"All about happy hour","mimetype":"text/plain"}]}}`)
		h.WantContent(alice, room, "m.room.canonical_alias", "", fmt.Sprintf(`{"alias":"#thepub%d:localhost"}`, version))
		checkChain(t, h, room)
	}
}

func TestPresets(t *testing.T) {
	h := newEnv(t)
	for name, c := range map[string]struct {
		q                      rooms.CreateRequest
		joinRule, guestAccess  string
		history                string
		bobJoins, bobIsCreator bool
	}{
		"nothing said":       {rooms.CreateRequest{}, "invite", "can_join", "shared", false, false},
		"private visibility": {rooms.CreateRequest{Visibility: "private"}, "invite", "can_join", "shared", false, false},
		"public visibility":  {rooms.CreateRequest{Visibility: "public"}, "public", "forbidden", "shared", true, false},
		"private chat":       {rooms.CreateRequest{Preset: "private_chat"}, "invite", "can_join", "shared", false, false},
		"public chat":        {rooms.CreateRequest{Preset: "public_chat"}, "public", "forbidden", "shared", true, false},
		"preset wins": {
			rooms.CreateRequest{Preset: "private_chat", Visibility: "public"}, "invite", "can_join", "shared", false, false,
		},
		"trusted": {
			rooms.CreateRequest{Preset: "trusted_private_chat", Invite: []string{bob}}, "invite", "can_join", "shared", true, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h.T = t
			room := h.Create(alice, c.q)
			h.WantContent(alice, room, event.TypeJoinRules, "", `{"join_rule":"`+c.joinRule+`"}`)
			h.WantContent(alice, room, "m.room.guest_access", "", `{"guest_access":"`+c.guestAccess+`"}`)
			h.WantContent(alice, room, "m.room.history_visibility", "", `{"history_visibility":"`+c.history+`"}`)
			if err := h.Rooms.Join(t.Context(), bob, room, ""); (err == nil) != c.bobJoins {
				t.Errorf("bob joins: %v", err)
			}
			if c.bobIsCreator {
				matrixtest.WantCode(t, h.TrySetState(bob, room, "m.room.encryption", "", `{}`), "", "bob sets the power levels")
			}
		})
	}
}

func TestInitialStateOverridesThePreset(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{
		Preset: "private_chat", Name: "told by name",
		InitialState: []rooms.InitialState{
			{Type: event.TypeJoinRules, Content: json.RawMessage(`{"join_rule":"public"}`)},
			{Type: "m.room.history_visibility", Content: json.RawMessage(`{"history_visibility":"world_readable"}`)},
			{Type: "m.room.guest_access", StateKey: "other", Content: json.RawMessage(`{"guest_access":"forbidden"}`)},
			{Type: "m.room.name", Content: json.RawMessage(`{"name":"told by state"}`)},
		},
	})
	h.WantContent(alice, room, event.TypeJoinRules, "", `{"join_rule":"public"}`)
	h.WantContent(alice, room, "m.room.history_visibility", "", `{"history_visibility":"world_readable"}`)
	h.WantContent(alice, room, "m.room.guest_access", "", `{"guest_access":"can_join"}`)
	h.WantContent(alice, room, "m.room.name", "", `{"name":"told by name"}`)
	joinRules := 0
	for _, e := range h.History(alice, room) {
		if e.Type == event.TypeJoinRules {
			joinRules++
		}
	}
	if joinRules != 1 {
		t.Errorf("the room has %d join rules", joinRules)
	}
}

// powerLevels has the members of m.room.power_levels that the tests check.
type powerLevels struct {
	Users         map[string]int `json:"users"`
	Events        map[string]int `json:"events"`
	StateDefault  int            `json:"state_default"`
	EventsDefault int            `json:"events_default"`
	Invite        int            `json:"invite"`
}

func (h *env) levels(room string) powerLevels {
	h.T.Helper()
	var p powerLevels
	if err := json.Unmarshal([]byte(h.Content(alice, room, event.TypePowerLevels, "")), &p); err != nil {
		h.T.Fatal(err)
	}
	return p
}

func TestFirstPowerLevelsInEachVersion(t *testing.T) {
	h := newEnv(t)
	for _, preset := range []string{"private_chat", "public_chat", "trusted_private_chat"} {
		h.EachVersion(rooms.CreateRequest{Preset: preset, Invite: []string{bob}}, func(version int, room string) {
			levels := h.levels(room)
			want := map[string]int{}
			if version < 12 {
				want[alice] = 100
				if preset == "trusted_private_chat" {
					want[bob] = 100
				}
			}
			if fmt.Sprint(levels.Users) != fmt.Sprint(want) {
				t.Errorf("%s, version %d: users are %v, want %v", preset, version, levels.Users, want)
			}
			if tombstone := levels.Events["m.room.tombstone"]; tombstone <= levels.StateDefault || version == 12 && tombstone <= 100 {
				t.Errorf("%s, version %d: a tombstone needs %d", preset, version, tombstone)
			}
			if levels.StateDefault != 50 || levels.EventsDefault != 0 {
				t.Errorf("%s, version %d: defaults are %+v", preset, version, levels)
			}
		})
	}
}

func TestCreationContent(t *testing.T) {
	h := newEnv(t)
	q := rooms.CreateRequest{CreationContent: roomstest.Object{
		"type": roomstest.Raw("m.space"), "m.federate": roomstest.Raw(false), "creator": roomstest.Raw(bob), "room_version": roomstest.Raw("99"), "org.example": roomstest.Raw(7),
	}}
	h.EachVersion(q, func(version int, room string) {
		creator := ""
		if version < 11 {
			creator = `"creator":"` + alice + `",`
		}
		h.WantContent(alice, room, event.TypeCreate, "", fmt.Sprintf(
			`{%s"type":"m.space","m.federate":false,"room_version":"%d","org.example":7}`, creator, version))
	})
}

func TestAdditionalCreators(t *testing.T) {
	h := newEnv(t)
	for name, c := range map[string]struct {
		q    rooms.CreateRequest
		want string
	}{
		"none":             {rooms.CreateRequest{Preset: "private_chat", Invite: []string{bob}}, ``},
		"asked for":        {rooms.CreateRequest{CreationContent: roomstest.Object{"additional_creators": roomstest.Raw([]string{dave})}}, `["` + dave + `"]`},
		"trusted invitees": {rooms.CreateRequest{Preset: "trusted_private_chat", Invite: []string{bob, carol}}, `["` + bob + `","` + carol + `"]`},
		"both, each once": {rooms.CreateRequest{
			Preset: "trusted_private_chat", Invite: []string{bob, carol, bob},
			CreationContent: roomstest.Object{"additional_creators": roomstest.Raw([]string{dave, bob})},
		}, `["` + dave + `","` + bob + `","` + carol + `"]`},
	} {
		t.Run(name, func(t *testing.T) {
			h.T = t
			c.q.RoomVersion = "12"
			room := h.Create(alice, c.q)
			got := event.Field([]byte(h.Content(alice, room, event.TypeCreate, "")), "additional_creators")
			if string(got) != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if strings.Contains(c.want, bob) { // a creator may do everything once in the room
				h.Join(bob, room)
				h.SetState(bob, room, event.TypePowerLevels, "", `{"state_default":75}`)
			}
		})
	}
}

func TestPowerLevelOverrideReplacesWholeKeys(t *testing.T) {
	h := newEnv(t)
	room := h.Create(alice, rooms.CreateRequest{RoomVersion: "11", PowerLevels: roomstest.Object{
		"events_default": roomstest.Raw(10), "users": roomstest.Raw(map[string]int{alice: 90, bob: 50}), "events": roomstest.Raw(map[string]int{"m.room.name": 20}),
	}})
	levels := h.levels(room)
	if levels.EventsDefault != 10 || levels.Users[alice] != 90 || levels.Users[bob] != 50 || len(levels.Events) != 1 || levels.StateDefault != 50 {
		t.Errorf("got %+v", levels)
	}
	// Clients that name no version may not know that creators have no level any more.
	room = h.Create(alice, rooms.CreateRequest{PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]int{alice: 90, bob: 50})}})
	if levels := h.levels(room); len(levels.Users) != 1 || levels.Users[bob] != 50 {
		t.Errorf("without a version: got %+v", levels)
	}
}

func TestRoomIDsOfEachVersion(t *testing.T) {
	h := newEnv(t)
	seen := map[string]bool{}
	h.EachVersion(rooms.CreateRequest{}, func(version int, room string) {
		if strings.HasSuffix(room, ":localhost") == (version == 12) {
			t.Errorf("version %d: the room ID is %s", version, room)
		}
		create := h.History(alice, room)[0]
		if version == 12 && room[1:] != create.ID[1:] {
			t.Errorf("the room ID %s is not of the create event %s", room, create.ID)
		}
		if seen[room] {
			t.Errorf("room ID %s came twice", room)
		}
		seen[room] = true
	})
}

func TestInvitesOfANewRoom(t *testing.T) {
	h := newEnv(t)
	h.SetProfile(h.Account("bob"), "displayname", "Bob")
	h.SetProfile(h.Account("alice"), "displayname", "Alice")
	direct := h.Create(alice, rooms.CreateRequest{IsDirect: true, Invite: []string{bob, carol}})
	h.WantContent(alice, direct, event.TypeMember, alice, `{"membership":"join","displayname":"Alice"}`)
	h.WantContent(alice, direct, event.TypeMember, bob, `{"membership":"invite","is_direct":true,"displayname":"Bob"}`)
	h.WantContent(alice, direct, event.TypeMember, carol, `{"membership":"invite","is_direct":true}`)
	other := h.Create(alice, rooms.CreateRequest{Invite: []string{bob}})
	h.WantContent(alice, other, event.TypeMember, bob, `{"membership":"invite","displayname":"Bob"}`)
}

// refused is a request that is refused, and the error.
type refused struct {
	q    rooms.CreateRequest
	code matrix.Code
}

// badValues returns requests with a value that does not exist.
func badValues() map[string]refused {
	long := strings.Repeat("x", 256)
	return map[string]refused{
		"unknown version":    {rooms.CreateRequest{RoomVersion: "13"}, matrix.UnsupportedRoomVersion},
		"version with NUL":   {rooms.CreateRequest{RoomVersion: "\x00"}, matrix.UnsupportedRoomVersion},
		"unknown visibility": {rooms.CreateRequest{Visibility: "secret"}, matrix.InvalidParam},
		"unknown preset":     {rooms.CreateRequest{Preset: "open"}, matrix.InvalidParam},
		"third-party invite": {rooms.CreateRequest{Invite3PID: []json.RawMessage{roomstest.Raw(1)}}, matrix.InvalidParam},
		"taken alias":        {rooms.CreateRequest{AliasName: "taken"}, matrix.RoomInUse},
		"alias with colon":   {rooms.CreateRequest{AliasName: "a:b"}, matrix.InvalidParam},
		"alias with NUL":     {rooms.CreateRequest{AliasName: "a\x00b"}, matrix.InvalidParam},
		"alias not UTF-8":    {rooms.CreateRequest{AliasName: "a\xffb"}, matrix.InvalidParam},
		"alias too long":     {rooms.CreateRequest{AliasName: long}, matrix.InvalidParam},
		"invitee is no user": {rooms.CreateRequest{Invite: []string{"bob"}}, matrix.InvalidParam},
		"invitee with NUL":   {rooms.CreateRequest{Invite: []string{"@b\x00b:localhost"}}, matrix.InvalidParam},
		"invitee too long":   {rooms.CreateRequest{Invite: []string{"@" + long + ":localhost"}}, matrix.InvalidParam},
		"invitee elsewhere":  {rooms.CreateRequest{Invite: []string{"@bob:elsewhere.example"}}, matrix.Forbidden},
		"creator invited":    {rooms.CreateRequest{Invite: []string{alice}}, matrix.InvalidRoomState},
	}
}

// badStates returns requests for state that a room cannot have.
func badStates() map[string]refused {
	state := func(typ, key, content string) []rooms.InitialState {
		return []rooms.InitialState{{Type: typ, StateKey: key, Content: json.RawMessage(content)}}
	}
	long := strings.Repeat("x", 256)
	return map[string]refused{
		"state without content":   {rooms.CreateRequest{InitialState: []rooms.InitialState{{Type: "a"}}}, matrix.MissingParam},
		"state without type":      {rooms.CreateRequest{InitialState: state("", "", `{}`)}, matrix.MissingParam},
		"state with a list":       {rooms.CreateRequest{InitialState: state("a", "", `[]`)}, matrix.BadJSON},
		"state with a float":      {rooms.CreateRequest{InitialState: state("a", "", `{"a":0.5}`)}, matrix.BadJSON},
		"state key with NUL":      {rooms.CreateRequest{InitialState: state("a", "\x00", `{}`)}, matrix.InvalidParam},
		"type with NUL":           {rooms.CreateRequest{InitialState: state("a\x00", "", `{}`)}, matrix.InvalidParam},
		"type too long":           {rooms.CreateRequest{InitialState: state(long, "", `{}`)}, matrix.TooLarge},
		"state key too long":      {rooms.CreateRequest{InitialState: state("a", long, `{}`)}, matrix.TooLarge},
		"second create event":     {rooms.CreateRequest{InitialState: state(event.TypeCreate, "", `{}`)}, matrix.InvalidRoomState},
		"join of another":         {rooms.CreateRequest{InitialState: state(event.TypeMember, bob, `{"membership":"join"}`)}, matrix.InvalidRoomState},
		"member elsewhere":        {rooms.CreateRequest{InitialState: state(event.TypeMember, "@b:else.example", `{"membership":"invite"}`)}, matrix.Forbidden},
		"redaction as state":      {rooms.CreateRequest{InitialState: state(event.TypeRedaction, "", `{"redacts":"$x\u0000"}`)}, matrix.InvalidParam},
		"name too large":          {rooms.CreateRequest{Name: strings.Repeat("n", 70000)}, matrix.TooLarge},
		"levels without creator":  {rooms.CreateRequest{RoomVersion: "11", Name: "x", PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]int{bob: 100})}}, matrix.InvalidRoomState},
		"levels that are none":    {rooms.CreateRequest{PowerLevels: roomstest.Object{"ban": roomstest.Raw("a lot")}}, matrix.BadJSON},
		"levels with a float":     {rooms.CreateRequest{PowerLevels: roomstest.Object{"ban": roomstest.Raw(1.5)}}, matrix.BadJSON},
		"creator's level in v12":  {rooms.CreateRequest{RoomVersion: "12", PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]int{alice: 100})}}, matrix.BadJSON},
		"levels as text":          {rooms.CreateRequest{RoomVersion: "1", PowerLevels: roomstest.Object{"users": roomstest.Raw(map[string]string{alice: "100"})}}, matrix.BadJSON},
		"initial levels as text":  {rooms.CreateRequest{RoomVersion: "9", InitialState: state(event.TypePowerLevels, "", `{"users":{"@alice:localhost":"100"}}`)}, matrix.BadJSON},
		"creators are no list":    {rooms.CreateRequest{RoomVersion: "12", CreationContent: roomstest.Object{"additional_creators": roomstest.Raw("x")}}, matrix.InvalidRoomState},
		"creators are no users":   {rooms.CreateRequest{RoomVersion: "12", CreationContent: roomstest.Object{"additional_creators": roomstest.Raw([]string{"x"})}}, matrix.InvalidRoomState},
		"too many events at once": {rooms.CreateRequest{Invite: slices.Repeat([]string{bob}, 1001)}, matrix.InvalidParam},
	}
}

func TestCreationThatIsRefusedLeavesNothing(t *testing.T) {
	h := newEnv(t)
	h.Create(alice, rooms.CreateRequest{AliasName: "taken"})
	all := badValues()
	maps.Copy(all, badStates())
	for name, c := range all {
		if c.q.AliasName == "" {
			c.q.AliasName = "free"
		}
		_, err := h.Rooms.Create(t.Context(), alice, c.q)
		matrixtest.WantCode(t, err, c.code, name)
	}
	joined, err := h.Rooms.Timeline.JoinedRooms(t.Context(), alice)
	h.OK(err)
	if len(joined) != 1 {
		t.Errorf("refused requests have left %d rooms", len(joined)-1)
	}
	_, err = h.Rooms.Directory.ResolveAlias(t.Context(), "#free:localhost")
	matrixtest.WantCode(t, err, matrix.NotFound, "the alias of a refused room")
	h.Create(alice, rooms.CreateRequest{AliasName: "free"}) // the alias is free again
}

func TestOneOfManyGetsTheAlias(t *testing.T) {
	a := newEnv(t)
	b := envOn(t, a.Pool)
	created := make([]string, 24)
	var wg sync.WaitGroup
	for i := range created {
		wg.Go(func() {
			made, err := []*env{a, b}[i%2].Rooms.Create(t.Context(), alice, rooms.CreateRequest{AliasName: "wanted", Name: fmt.Sprint(i)})
			if err == nil {
				created[i] = made.RoomID
			} else {
				matrixtest.WantCode(t, err, matrix.RoomInUse, "a loser")
			}
		})
	}
	wg.Wait()
	winners := slices.DeleteFunc(created, func(room string) bool { return room == "" })
	if len(winners) != 1 {
		t.Fatalf("%d rooms have been created", len(winners))
	}
	room, err := a.Rooms.Directory.ResolveAlias(t.Context(), "#wanted:localhost")
	a.OK(err)
	joined, err := a.Rooms.Timeline.JoinedRooms(t.Context(), alice)
	a.OK(err)
	matrixtest.Equal(t, "rooms", joined, []string{room})
	if room != winners[0] {
		t.Errorf("the alias points to %s, not %s", room, winners[0])
	}
}

func TestCreatedAnswersWithTheAlias(t *testing.T) {
	h := newEnv(t)
	made, err := h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{AliasName: "tutorial"})
	h.OK(err)
	if made.RoomAlias != "#tutorial:localhost" {
		t.Errorf("the alias is %q", made.RoomAlias)
	}
	made, err = h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{})
	h.OK(err)
	if made.RoomAlias != "" {
		t.Errorf("a room without alias has %q", made.RoomAlias)
	}
}

func TestManyRoomsAreCreatedAtOnce(t *testing.T) {
	h := newEnv(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := h.Rooms.Create(t.Context(), alice, rooms.CreateRequest{
				RoomVersion: fmt.Sprint(i%12 + 1), AliasName: fmt.Sprintf("room%d", i), Invite: []string{bob},
			})
			matrixtest.WantCode(t, err, "", "create")
		})
	}
	wg.Wait()
	joined, err := h.Rooms.Timeline.JoinedRooms(t.Context(), alice)
	h.OK(err)
	if len(joined) != 40 {
		t.Errorf("alice is in %d rooms", len(joined))
	}
}

func TestRoomIsUsedAtOnceByWhoWasInvited(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool)
	for range 5 {
		room := h.Create(alice, rooms.CreateRequest{Invite: []string{bob}})
		other.Join(bob, room)
		h.Send(alice, room, "hello")
		other.Send(bob, room, "hello to you")
		checkChain(t, envOn(t, h.Pool), room)
	}
}

func TestEqualRoomsOfOneMomentAreTwo(t *testing.T) {
	h := newEnv(t)
	for version := range 12 {
		q := rooms.CreateRequest{RoomVersion: fmt.Sprint(version + 1)}
		seen := map[string]bool{}
		for range 20 {
			seen[h.Create(alice, q)] = true
		}
		if len(seen) != 20 {
			t.Errorf("version %d: 20 rooms have %d IDs", version+1, len(seen))
		}
	}
}

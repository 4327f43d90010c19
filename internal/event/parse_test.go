package event

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"homeserver/internal/matrix"
)

// receivedEvent is an event of version 11, with a placeholder for each member.
var receivedMembers = map[string]string{
	"auth_events":      `["$a","$b"]`,
	"content":          `{"body":"x"}`,
	"depth":            `3`,
	"hashes":           `{"sha256":"aGFzaA"}`,
	"origin_server_ts": `1000`,
	"prev_events":      `["$p"]`,
	"room_id":          `"!room:a.example"`,
	"sender":           `"@alice:a.example"`,
	"signatures":       `{"a.example":{"ed25519:1":"c2ln"}}`,
	"state_key":        `"key"`,
	"type":             `"m.room.message"`,
}

// received returns an event with some members replaced; "" removes one.
func received(changes map[string]string) []byte {
	var members []string
	for key, value := range receivedMembers {
		if change, ok := changes[key]; ok {
			value = change
		}
		if value != "" {
			members = append(members, `"`+key+`": `+value)
		}
	}
	for key, value := range changes {
		if _, ok := receivedMembers[key]; !ok {
			members = append(members, `"`+key+`": `+value)
		}
	}
	return []byte("{" + strings.Join(members, ", ") + "}")
}

func TestParse(t *testing.T) {
	t.Parallel()
	eachVersion(t, "3-12", func(t *testing.T, v *Version) {
		e, err := Parse(v, received(map[string]string{"unsigned": `{"age":5}`}))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"auth_events":["$a","$b"],"content":{"body":"x"},"depth":3,"hashes":{"sha256":"aGFzaA"},"origin_server_ts":1000,` +
			`"prev_events":["$p"],"room_id":"!room:a.example","sender":"@alice:a.example",` +
			`"signatures":{"a.example":{"ed25519:1":"c2ln"}},"state_key":"key","type":"m.room.message"}`
		if string(e.JSON) != want {
			t.Errorf("JSON is %s", e.JSON)
		}
		if e.Type != "m.room.message" || e.Sender != alice || e.RoomID != "!room:a.example" || *e.StateKey != "key" ||
			e.Depth != 3 || e.OriginServerTS != 1000 || string(e.Content) != `{"body":"x"}` || e.Version != v {
			t.Errorf("the event is %+v", e)
		}
		if !sameStrings(e.AuthEvents(), []string{"$a", "$b"}) || !sameStrings(e.PrevEvents(), []string{"$p"}) {
			t.Errorf("auth_events %v, prev_events %v", e.AuthEvents(), e.PrevEvents())
		}
		if !e.IsState("m.room.message", "key") || e.IsState("m.room.message", "") || e.IsState("m.room.name", "key") {
			t.Error("IsState is wrong")
		}
	})
}

func TestParseMessageIsNoState(t *testing.T) {
	t.Parallel()
	e, err := Parse(mustVersion(t, "11"), received(map[string]string{"state_key": ""}))
	if err != nil || e.StateKey != nil || e.IsState("m.room.message", "") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	ids := func(n int) string { return `["$x"` + strings.Repeat(`,"$x"`, n-1) + `]` }
	cases := []struct {
		name    string
		changes map[string]string
		code    matrix.Code
	}{
		{"nothing wrong", nil, ""},
		{"unknown members stay", map[string]string{"org.example": `{"x":1}`}, ""},
		{"no auth_events", map[string]string{"auth_events": ""}, matrix.BadJSON},
		{"no content", map[string]string{"content": ""}, matrix.BadJSON},
		{"no depth", map[string]string{"depth": ""}, matrix.BadJSON},
		{"no hashes", map[string]string{"hashes": ""}, matrix.BadJSON},
		{"no origin_server_ts", map[string]string{"origin_server_ts": ""}, matrix.BadJSON},
		{"no prev_events", map[string]string{"prev_events": ""}, matrix.BadJSON},
		{"no room_id", map[string]string{"room_id": ""}, matrix.BadJSON},
		{"no sender", map[string]string{"sender": ""}, matrix.BadJSON},
		{"no signatures", map[string]string{"signatures": ""}, matrix.BadJSON},
		{"no type", map[string]string{"type": ""}, matrix.BadJSON},
		{"auth_events an object", map[string]string{"auth_events": `{}`}, matrix.BadJSON},
		{"auth_events of numbers", map[string]string{"auth_events": `[1]`}, matrix.BadJSON},
		{"auth_events of pairs", map[string]string{"auth_events": `[["$a",{"sha256":"x"}]]`}, matrix.BadJSON},
		{"10 auth_events", map[string]string{"auth_events": ids(10)}, ""},
		{"11 auth_events", map[string]string{"auth_events": ids(11)}, matrix.BadJSON},
		{"20 prev_events", map[string]string{"prev_events": ids(20)}, ""},
		{"21 prev_events", map[string]string{"prev_events": ids(21)}, matrix.BadJSON},
		{"prev_events null", map[string]string{"prev_events": `null`}, matrix.BadJSON},
		{"prev_events of null", map[string]string{"prev_events": `[null]`}, matrix.BadJSON},
		{"content an array", map[string]string{"content": `[]`}, matrix.BadJSON},
		{"content null", map[string]string{"content": `null`}, matrix.BadJSON},
		{"content text", map[string]string{"content": `"{}"`}, matrix.BadJSON},
		{"depth text", map[string]string{"depth": `"3"`}, matrix.BadJSON},
		{"depth negative", map[string]string{"depth": `-1`}, matrix.BadJSON},
		{"depth a float", map[string]string{"depth": `1.5`}, matrix.BadJSON},
		{"depth beyond canonical JSON", map[string]string{"depth": `9007199254740992`}, matrix.BadJSON},
		{"hashes text", map[string]string{"hashes": `"x"`}, matrix.BadJSON},
		{"hashes without sha256", map[string]string{"hashes": `{"md5":"x"}`}, matrix.BadJSON},
		{"sha256 a number", map[string]string{"hashes": `{"sha256":1}`}, matrix.BadJSON},
		{"origin_server_ts text", map[string]string{"origin_server_ts": `"1"`}, matrix.BadJSON},
		{"origin_server_ts before the epoch", map[string]string{"origin_server_ts": `-1`}, ""},
		{"unsigned doesn't count as size", map[string]string{"unsigned": `{"x":"` + strings.Repeat("x", MaxBytes) + `"}`}, ""},
		{"room_id a number", map[string]string{"room_id": `1`}, matrix.BadJSON},
		{"room_id an alias", map[string]string{"room_id": `"#x:a.example"`}, matrix.BadJSON},
		{"room_id too long", map[string]string{"room_id": `"!` + long + `"`}, matrix.TooLarge},
		{"sender a number", map[string]string{"sender": `1`}, matrix.BadJSON},
		{"sender no user ID", map[string]string{"sender": `"alice"`}, matrix.BadJSON},
		{"sender with a bad server name", map[string]string{"sender": `"@alice:a b"`}, matrix.BadJSON},
		{"sender of the past", map[string]string{"sender": `"@Älice Ü:a.example"`}, ""},
		{"sender without a localpart", map[string]string{"sender": `"@:a.example"`}, ""},
		{"sender with NUL", map[string]string{"sender": `"@a\u0000:a.example"`}, matrix.BadJSON},
		{"sender too long", map[string]string{"sender": `"@` + long + `:a.example"`}, matrix.TooLarge},
		{"signatures an array", map[string]string{"signatures": `[]`}, matrix.BadJSON},
		{"state_key null", map[string]string{"state_key": `null`}, matrix.BadJSON},
		{"state_key a number", map[string]string{"state_key": `1`}, matrix.BadJSON},
		{"state_key too long", map[string]string{"state_key": `"` + long + `"`}, matrix.TooLarge},
		{"type a number", map[string]string{"type": `1`}, matrix.BadJSON},
		{"type too long", map[string]string{"type": `"` + long + `"`}, matrix.TooLarge},
		{"empty type", map[string]string{"type": `""`}, ""},
		{"float inside", map[string]string{"content": `{"x":0.5}`}, matrix.BadJSON},
		{"duplicate key inside", map[string]string{"content": `{"x":1,"x":2}`}, matrix.BadJSON},
		{"too large", map[string]string{"content": `{"x":"` + strings.Repeat("x", MaxBytes) + `"}`}, matrix.TooLarge},
		{"redacts of the old place", map[string]string{"type": `"m.room.redaction"`, "redacts": `5`}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(mustVersion(t, "11"), received(c.changes))
			wantError(t, err, c.code, "")
		})
	}
	for _, raw := range []string{``, `[]`, `null`, `{`, `{"type":"x"}`} {
		if _, err := Parse(mustVersion(t, "11"), []byte(raw)); err == nil {
			t.Errorf("Parse(%s) works", raw)
		}
	}
}

func TestParseRedacts(t *testing.T) {
	t.Parallel()
	eachVersion(t, "3-12", func(t *testing.T, v *Version) {
		e, err := Parse(v, received(map[string]string{
			"type": `"m.room.redaction"`, "redacts": `"$top"`, "content": `{"redacts":"$inner"}`,
		}))
		want := "$top"
		if v.RedactsInContent {
			want = "$inner"
		}
		if err != nil || e.Redacts != want {
			t.Errorf("Redacts is %q, %v; want %q", e.Redacts, err, want)
		}
		_, err = Parse(v, received(map[string]string{"type": `"m.room.redaction"`, "redacts": `5`}))
		if (err != nil) == v.RedactsInContent {
			t.Errorf("redacts that is a number: %v", err)
		}
	})
}

// Versions 1 and 2 carry their ID, and pairs.
// Their sender has hashed and signed them in this form.
func TestNumbersOfAnothersEventStayAsTheyAre(t *testing.T) {
	t.Parallel()
	eachVersion(t, "3-5", func(t *testing.T, v *Version) {
		const content = `{"a":1.0,"b":1e3,"c":-0.0,"d":1.5}`
		e, err := Parse(v, received(map[string]string{"content": content}))
		if err != nil || string(e.Content) != content {
			t.Errorf("%+v, %v", e, err)
		}
	})
}

func TestParsePairs(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-2", func(t *testing.T, v *Version) {
		base := map[string]string{
			"event_id": `"$id:a.example"`, "auth_events": `[["$a:x",{"sha256":"h"}]]`, "prev_events": `[["$p:x",{"sha256":"h"}],["$q:x",{}]]`,
		}
		e, err := Parse(v, received(base))
		if err != nil || e.ID != "$id:a.example" {
			t.Fatalf("%+v, %v", e, err)
		}
		if !sameStrings(e.AuthEvents(), []string{"$a:x"}) || !sameStrings(e.PrevEvents(), []string{"$p:x", "$q:x"}) {
			t.Errorf("auth_events %v, prev_events %v", e.AuthEvents(), e.PrevEvents())
		}
		for key, value := range map[string]string{
			"event_id": `""`, "auth_events": `["$a"]`, "prev_events": `[[]]`,
		} {
			changed := map[string]string{key: value}
			for k, v := range base {
				if k != key {
					changed[k] = v
				}
			}
			_, err := Parse(v, received(changed))
			wantError(t, err, matrix.BadJSON, "")
		}
	})
}

// An event_id in later versions is a member like any other, and not the ID.
func TestParseIgnoresEventID(t *testing.T) {
	t.Parallel()
	e, err := Parse(mustVersion(t, "11"), received(map[string]string{"event_id": `"$fake"`}))
	if err != nil || e.ID == "$fake" || len(e.ID) != 44 {
		t.Errorf("the ID is %s, %v", e.ID, err)
	}
}

func TestParseTrustedRefusesDamage(t *testing.T) {
	t.Parallel()
	const rest = `"depth":1,"room_id":"!r:x","sender":"@a:x","type":"m.x"`
	for _, raw := range []string{
		``, `{`, `[]`, `null`, `{"content":[]}`, `{"content":{},"depth":"x"}`, "{\"content\":{\"a\":\"\xff\"}," + rest + `}`,
		`{"content":{},` + rest, `{"content": {},` + rest + `}`, `{"content":{"a":b},` + rest + `}`, `{"content":{},` + rest + `}}`,
		`{` + rest + `}`, `{"content":{},` + strings.Replace(rest, "sender", "render", 1) + `}`,
		`{"content":{},` + strings.Replace(rest, "room_id", "room", 1) + `}`, `{"content":{},` + strings.Replace(rest, "depth", "dept", 1) + `}`,
	} {
		_, err := ParseTrusted(mustVersion(t, "11"), "$id", []byte(raw))
		var public *matrix.Error
		if err == nil || !strings.Contains(err.Error(), "$id") || errors.As(err, &public) {
			t.Errorf("ParseTrusted(%s) returns %v", raw, err)
		}
	}
	if _, err := ParseTrusted(mustVersion(t, "11"), "$id", []byte(`{"content":{},`+rest+`}`)); err != nil {
		t.Errorf("what is whole is refused: %v", err)
	}
}

func TestVerifyHashRefuses(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{`"!"`, `""`, `"aGFzaA"`} {
		e, err := Parse(mustVersion(t, "11"), received(map[string]string{"hashes": `{"sha256":` + hash + `}`}))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, e.VerifyHash(), matrix.BadJSON, "content hash")
	}
}

func TestAccessors(t *testing.T) {
	t.Parallel()
	v := mustVersion(t, "11")
	of := func(evType, content string) *Event {
		e, err := Parse(v, received(map[string]string{"type": `"` + evType + `"`, "content": content}))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for _, c := range []struct{ evType, content, want string }{
		{TypeMember, `{"membership":"join","displayname":"x"}`, "join"},
		{TypeMember, `{"membership":"leave"}`, "leave"},
		{TypeMember, `{"membership":"odd"}`, "odd"},
		{TypeMember, `{"membership":5}`, ""},
		{TypeMember, `{}`, ""},
		{"m.room.message", `{"membership":"join"}`, ""},
	} {
		if got := of(c.evType, c.content).Membership(); got != c.want {
			t.Errorf("%s of %s has membership %q, want %q", c.content, c.evType, got, c.want)
		}
	}
	for _, c := range []struct{ content, want string }{
		{`{"join_rule":"public"}`, "public"}, {`{"join_rule":1}`, ""}, {`{}`, ""},
	} {
		if got := of(TypeJoinRules, c.content).JoinRule(); got != c.want {
			t.Errorf("%s has join rule %q, want %q", c.content, got, c.want)
		}
	}
	var none *Event
	if none.Membership() != "" || none.JoinRule() != "invite" {
		t.Error("no event is wrong")
	}
	if levels, err := none.PowerLevels(); levels != nil || err != nil {
		t.Errorf("no event has the levels %v, %v", levels, err)
	}
}

func TestCreateContent(t *testing.T) {
	t.Parallel()
	v := mustVersion(t, "12")
	for _, c := range []struct {
		content string
		want    CreateContent
	}{
		{`{}`, CreateContent{Creators: []string{alice}, Federate: true, RoomVersion: "1"}},
		{
			`{"additional_creators":["@x:y"],"m.federate":false,"room_version":"12","type":"m.space"}`,
			CreateContent{Creators: []string{alice, "@x:y"}, RoomVersion: "12", RoomType: "m.space"},
		},
		{
			`{"additional_creators":"@x:y","m.federate":"false","room_version":12,"type":1}`,
			CreateContent{Creators: []string{alice}, Federate: true, RoomVersion: "1"},
		},
	} {
		e, err := Parse(v, received(map[string]string{"type": `"m.room.create"`, "content": c.content}))
		if err != nil {
			t.Fatal(err)
		}
		got := e.CreateContent()
		if !sameStrings(got.Creators, c.want.Creators) || got.Federate != c.want.Federate ||
			got.RoomVersion != c.want.RoomVersion || got.RoomType != c.want.RoomType {
			t.Errorf("%s is %+v, want %+v", c.content, got, c.want)
		}
		if e.CreateContent() != got {
			t.Error("it is parsed twice")
		}
	}
}

// Several goroutines may use one event at once.
func TestEventIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	r := newTestRoom(t, mustVersion(t, "12"))
	p := message(alice)
	p.PrevEvents = []string{r.last.ID}
	e := r.build(p)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := Authorize(r.version, e, r.state); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

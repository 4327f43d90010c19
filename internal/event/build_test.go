package event

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"homeserver/internal/matrix"
)

func TestBuildMessage(t *testing.T) {
	t.Parallel()
	s := testSigner("domain")
	e, err := Build(mustVersion(t, "11"), Proto{
		RoomID: "!room:domain", Type: "m.room.message", Sender: "@u:domain",
		Content: []byte(`{"msgtype": "m.text", "body": "caf\u00e9"}`), OriginServerTS: 1700000000000, Depth: 7,
		PrevEvents: []string{"$prev"}, AuthEvents: []string{"$create", "$power", "$member"},
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	signature, _ := StringField(Field(Field(e.JSON, "signatures"), "domain"), "ed25519:1")
	hash, _ := StringField(Field(e.JSON, "hashes"), "sha256")
	want := `{"auth_events":["$create","$power","$member"],"content":{"body":"café","msgtype":"m.text"},"depth":7,` +
		`"hashes":{"sha256":"` + hash + `"},"origin_server_ts":1700000000000,"prev_events":["$prev"],"room_id":"!room:domain",` +
		`"sender":"@u:domain","signatures":{"domain":{"ed25519:1":"` + signature + `"}},"type":"m.room.message"}`
	if string(e.JSON) != want {
		t.Errorf("JSON is %s\nwant %s", e.JSON, want)
	}
	if len(hash) != 43 || len(signature) != 86 || len(e.ID) != 44 {
		t.Errorf("hash %q, signature %q, ID %q", hash, signature, e.ID)
	}
	if string(e.Content) != `{"body":"café","msgtype":"m.text"}` || e.RoomID != "!room:domain" || e.StateKey != nil || e.Redacts != "" {
		t.Errorf("the event is %+v", e)
	}
}

// roundTripProtos returns events of all shapes.
func roundTripProtos(r *testRoom) map[string]Proto {
	prev := []string{r.last.ID}
	protos := map[string]Proto{
		"message":         message(alice),
		"state":           stateProto(mod, "m.room.name", "", `{"name":"A \"room\"\n"}`),
		"state with key":  stateProto(alice, "org.example.x", "key \\ \"1\" \u0007 é", `{"x":[1,2,{"y":null}]}`),
		"member":          memberProto(alice, alice, Leave),
		"levels":          stateProto(creator, TypePowerLevels, "", r.levels(`"invite":50`)),
		"redaction":       {Type: TypeRedaction, Sender: alice, Redacts: r.create.ID, Content: []byte(`{"reason":"spam"}`)},
		"no content":      {Type: "m.room.message", Sender: alice},
		"empty state key": stateProto(alice, "x", "", `{}`),
		"odd type":        {Type: "\"<é>\"", Sender: alice, Content: []byte(`{"\"":{}}`)},
		"empty type":      {Type: "", Sender: alice, Content: []byte(`{}`)},
		"history":         stateProto(mod, TypeHistoryVisibility, "", `{"history_visibility":"shared","x":1}`),
		"third party":     stateProto(mod, TypeThirdPartyInvite, "token", `{"display_name":"x","public_key":"y"}`),
		"aliases":         stateProto(alice, TypeAliases, serverA, `{"aliases":["#a:a.example"]}`),
	}
	for name, p := range protos {
		p.RoomID, p.OriginServerTS, p.Depth = r.create.RoomID, 1234567890123, 12
		p.PrevEvents = prev
		p.AuthEvents = []string{r.create.ID}
		protos[name] = p
	}
	protos["no previous events"] = Proto{RoomID: r.create.RoomID, Type: "x", Sender: alice}
	return protos
}

// Parse and ParseTrusted read the same event that Build made; hash and signature
// verify; and the ID is the same after redaction.
func TestBuildRoundTrip(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		events := map[string]*Event{"create": r.create}
		for name, p := range roundTripProtos(r) {
			events[name] = r.build(p)
		}
		for name, e := range events {
			checkRoundTrip(t, name, e, r.signers[serverA])
		}
	})
}

func checkRoundTrip(t *testing.T, name string, e *Event, s *Signer) {
	t.Helper()
	same := cmp.Options{cmpopts.IgnoreUnexported(Event{}, Version{}), cmpopts.EquateEmpty()}
	if canonical, err := Canonical(e.JSON, e.Version.StrictJSON); err != nil || !bytes.Equal(canonical, e.JSON) {
		t.Errorf("%s is not canonical: %s, %v", name, e.JSON, err)
	}
	parsed, err := Parse(e.Version, e.JSON)
	if err != nil {
		t.Fatalf("%s: parse %s: %v", name, e.JSON, err)
	}
	if diff := cmp.Diff(e, parsed, same); diff != "" {
		t.Errorf("%s: Parse differs: %s", name, diff)
	}
	trusted, err := ParseTrusted(e.Version, e.ID, e.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, trusted, same); diff != "" {
		t.Errorf("%s: ParseTrusted differs: %s", name, diff)
	}
	if err := e.VerifyHash(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if err := e.VerifySignature(s.ServerName, s.KeyID, s.public()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	redacted, err := Redact(e.Version, e.JSON)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Parse(e.Version, redacted)
	if err != nil {
		t.Fatalf("%s: parse the redacted event: %v", name, err)
	}
	if after.ID != e.ID || after.RoomID != e.RoomID {
		t.Errorf("%s: the redacted event is %s in %s, it was %s in %s", name, after.ID, after.RoomID, e.ID, e.RoomID)
	}
	if err := after.VerifySignature(s.ServerName, s.KeyID, s.public()); err != nil {
		t.Errorf("%s: redacted: %v", name, err)
	}
}

// "Event IDs" of versions 1, 3 and 4.
func TestEventIDs(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		p := message(alice)
		p.PrevEvents = []string{r.last.ID}
		seen := map[string]bool{}
		for i := range 50 {
			p.Depth = int64(i)
			e := r.build(p)
			seen[e.ID] = true
			inJSON := Field(e.JSON, "event_id") != nil
			switch v.EventIDs {
			case RandomEventID:
				if !inJSON || len(e.ID) != 1+18+1+len(serverA) || domainOf(e.ID) != serverA {
					t.Fatalf("the ID is %s", e.ID)
				}
			case HashEventID:
				if inJSON || len(e.ID) != 44 || strings.ContainsAny(e.ID, "-_") {
					t.Fatalf("the ID is %s", e.ID)
				}
			case URLSafeHashEventID:
				if inJSON || len(e.ID) != 44 || strings.ContainsAny(e.ID, "+/") {
					t.Fatalf("the ID is %s", e.ID)
				}
			}
		}
		if len(seen) != 50 {
			t.Errorf("50 events have %d IDs", len(seen))
		}
	})
}

func TestRoomIDs(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newEmptyRoom(t, v, `{"creator":"`+creator+`"}`)
		inJSON := Field(r.create.JSON, "room_id") != nil
		if !v.HashRoomID {
			if r.create.RoomID != "!room:a.example" || !inJSON {
				t.Errorf("the room ID is %s, in the JSON: %v", r.create.RoomID, inJSON)
			}
			return
		}
		if r.create.RoomID != "!"+r.create.ID[1:] || inJSON {
			t.Errorf("the room ID is %s, in the JSON: %v; the event ID is %s", r.create.RoomID, inJSON, r.create.ID)
		}
	})
}

func TestNewRoomID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := NewRoomID("a.example:8448")
		letters, ok := strings.CutSuffix(id, ":a.example:8448")
		if !ok || len(letters) != 19 || letters[0] != '!' || strings.Trim(letters[1:],
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || !matrix.IsRoomID(id) {
			t.Fatalf("room ID %s", id)
		}
		seen[id] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 rooms have %d IDs", len(seen))
	}
}

// Redacts is a member of the event up to version 10, of content after that.
func TestRedacts(t *testing.T) {
	t.Parallel()
	const target = "$target"
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		redaction := Proto{Type: TypeRedaction, Sender: alice, Redacts: target, Content: []byte(`{"reason":"x"}`)}
		e := r.build(redaction)
		top, _ := StringField(e.JSON, "redacts")
		inner, _ := StringField(e.Content, "redacts")
		if e.Redacts != target || (top == target) == v.RedactsInContent || (inner == target) != v.RedactsInContent {
			t.Errorf("Redacts %q, in %s", e.Redacts, e.JSON)
		}

		redaction.Redacts, redaction.Content = "", []byte(`{"redacts":"$inner"}`)
		if e = r.build(redaction); (e.Redacts == "$inner") != v.RedactsInContent {
			t.Errorf("with content.redacts alone the event redacts %q", e.Redacts)
		}
		redaction.Redacts = target
		if e = r.build(redaction); e.Redacts != target {
			t.Errorf("both give %q", e.Redacts)
		}
		redaction.Redacts, redaction.Content = "", []byte(`{"redacts":5}`)
		if e = r.build(redaction); e.Redacts != "" {
			t.Errorf("with a number the event redacts %q", e.Redacts)
		}
		other := message(alice)
		other.Redacts, other.Content = target, []byte(`{"redacts":"$x"}`)
		if e = r.build(other); e.Redacts != "" || Field(e.JSON, "redacts") != nil {
			t.Errorf("a message redacts %q: %s", e.Redacts, e.JSON)
		}
	})
}

// Versions 1 and 2 refer to events by ID and reference hash.
func TestReferencePairs(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-3", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		p := message(alice)
		p.RoomID, p.PrevEvents, p.AuthEvents = r.create.RoomID, []string{r.last.ID}, []string{r.create.ID, r.last.ID}
		e := r.build(p)
		want := `["` + r.last.ID + `"]`
		if v.pairs() {
			want = `[["` + r.last.ID + `",{"sha256":"` + r.hashes[r.last.ID] + `"}]]`
		}
		if got := string(Field(e.JSON, "prev_events")); got != want {
			t.Errorf("prev_events are %s, want %s", got, want)
		}
		parsed, err := Parse(v, e.JSON)
		if err != nil || !sameStrings(parsed.PrevEvents(), p.PrevEvents) || !sameStrings(parsed.AuthEvents(), p.AuthEvents) {
			t.Errorf("parsed to %v and %v, %v", parsed.PrevEvents(), parsed.AuthEvents(), err)
		}
		p.PrevEvents = []string{"$unknown:x"}
		_, err = Build(v, p, r.signers[serverA])
		if (err != nil) != v.pairs() {
			t.Errorf("without a reference hash: %v", err)
		}
	})
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	cases := []struct {
		name, versions string
		change         func(p *Proto)
		code           matrix.Code
	}{
		{"nothing wrong", "1-12", func(*Proto) {}, ""},
		{"content not JSON", "1-12", func(p *Proto) { p.Content = []byte(`{`) }, matrix.NotJSON},
		{"content empty", "1-12", func(p *Proto) { p.Content = []byte{} }, matrix.NotJSON},
		{"content an array", "1-12", func(p *Proto) { p.Content = []byte(`[]`) }, matrix.BadJSON},
		{"content null", "1-12", func(p *Proto) { p.Content = []byte(`null`) }, matrix.BadJSON},
		{"duplicate key", "1-12", func(p *Proto) { p.Content = []byte(`{"a":1,"a":2}`) }, matrix.BadJSON},
		{"float", "6-12", func(p *Proto) { p.Content = []byte(`{"a":1.5}`) }, matrix.BadJSON},
		{"float", "1-5", func(p *Proto) { p.Content = []byte(`{"a":1.5}`) }, ""},
		{"great integer", "6-12", func(p *Proto) { p.Content = []byte(`{"a":9007199254740992}`) }, matrix.BadJSON},
		{"great integer", "1-5", func(p *Proto) { p.Content = []byte(`{"a":9007199254740992}`) }, ""},
		{"type of 255 bytes", "1-12", func(p *Proto) { p.Type = long[:255] }, ""},
		{"type of 256 bytes", "1-12", func(p *Proto) { p.Type = long }, matrix.TooLarge},
		{"type of 256 bytes, 128 letters", "1-12", func(p *Proto) { p.Type = strings.Repeat("é", 128) }, matrix.TooLarge},
		{"state key of 255 bytes", "1-12", func(p *Proto) { p.StateKey = text(long[:255]) }, ""},
		{"state key of 256 bytes", "1-12", func(p *Proto) { p.StateKey = &long }, matrix.TooLarge},
		{"sender of 255 bytes", "1-12", func(p *Proto) { p.Sender = "@" + long[:244] + ":a.example" }, ""},
		{"sender of 256 bytes", "1-12", func(p *Proto) { p.Sender = "@" + long[:245] + ":a.example" }, matrix.TooLarge},
		{"room ID of 256 bytes", "1-12", func(p *Proto) { p.RoomID = "!" + long[:255] }, matrix.TooLarge},
		{"no room ID", "1-12", func(p *Proto) { p.RoomID = "" }, matrix.InvalidParam},
		{"room ID that is none", "1-12", func(p *Proto) { p.RoomID = "#x:y" }, matrix.InvalidParam},
		{"no sender", "1-12", func(p *Proto) { p.Sender = "" }, matrix.InvalidParam},
		{"sender that is none", "1-12", func(p *Proto) { p.Sender = "alice" }, matrix.InvalidParam},
		{"sender without a server", "1-12", func(p *Proto) { p.Sender = "@alice" }, matrix.InvalidParam},
		{"type that is not UTF-8", "1-12", func(p *Proto) { p.Type = "\xff" }, matrix.InvalidParam},
		{"state key that is not UTF-8", "1-12", func(p *Proto) { p.StateKey = text("\xff") }, matrix.InvalidParam},
		{"NUL in the type", "1-12", func(p *Proto) { p.Type = "a\x00b" }, matrix.InvalidParam},
		{"NUL in the state key", "1-12", func(p *Proto) { p.StateKey = text("\x00") }, matrix.InvalidParam},
		{"redacts too long", "1-12", func(p *Proto) { p.Type, p.Redacts = TypeRedaction, long }, matrix.InvalidParam},
		{"negative time", "1-12", func(p *Proto) { p.OriginServerTS = -1 }, matrix.BadJSON},
		{"time out of range", "1-12", func(p *Proto) { p.OriginServerTS = 1 << 53 }, matrix.BadJSON},
		{"negative depth", "1-12", func(p *Proto) { p.Depth = -1 }, matrix.BadJSON},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, id := range versionSpan(t, c.versions) {
				p := Proto{RoomID: "!room:a.example", Type: "x", Sender: alice, Content: []byte(`{}`)}
				c.change(&p)
				_, err := Build(mustVersion(t, id), p, testSigner(serverA))
				wantError(t, err, c.code, "")
			}
		})
	}
}

func TestBuildTooManyReferences(t *testing.T) {
	t.Parallel()
	p := Proto{RoomID: "!room:a.example", Type: "x", Sender: alice, PrevEvents: make([]string, 21)}
	if _, err := Build(mustVersion(t, "11"), p, testSigner(serverA)); err == nil {
		t.Error("21 prev_events are taken")
	}
	p.PrevEvents, p.AuthEvents = nil, make([]string, 11)
	if _, err := Build(mustVersion(t, "11"), p, testSigner(serverA)); err == nil {
		t.Error("11 auth_events are taken")
	}
}

// The event around the content counts as nesting.
func TestBuildNesting(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		build := func(depth int) (*Event, error) {
			return Build(v, Proto{
				RoomID: "!room:a.example", Type: "x", Sender: alice,
				Content: []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)),
			}, testSigner(serverA))
		}
		e, err := build(maxNesting - 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(v, e.JSON); err != nil {
			t.Errorf("what Build made can't be read: %v", err)
		}
		_, err = build(maxNesting)
		wantError(t, err, matrix.BadJSON, "nested deeper")
	})
}

// Client-server API, "Size limits": the limit is for the whole event.
func TestBuildSizeLimit(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		build := func(n int) (*Event, error) {
			return Build(v, Proto{
				RoomID: "!room:a.example", Type: "x", Sender: alice, Content: []byte(`{"body":"` + strings.Repeat("x", n) + `"}`),
			}, testSigner(serverA))
		}
		small, err := build(0)
		if err != nil {
			t.Fatal(err)
		}
		room := MaxBytes - len(small.JSON)
		full, err := build(room)
		if err != nil || len(full.JSON) != MaxBytes {
			t.Fatalf("an event of 65,536 bytes is refused: %v", err)
		}
		if _, err := Parse(v, full.JSON); err != nil {
			t.Errorf("an event of 65,536 bytes can't be read: %v", err)
		}
		_, err = build(room + 1)
		wantError(t, err, matrix.TooLarge, "65537 bytes")
	})
}

func TestDepthStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		e, err := Build(v, Proto{RoomID: "!room:a.example", Type: "x", Sender: alice, Depth: 1<<63 - 1}, testSigner(serverA))
		want := int64(1<<53 - 1)
		if !v.StrictJSON {
			want = 1<<63 - 1
		}
		if err != nil || e.Depth != want {
			t.Fatalf("depth %d, %v; want %d", e.Depth, err, want)
		}
		if parsed, err := Parse(v, e.JSON); err != nil || parsed.Depth != want {
			t.Errorf("parsed depth %d, %v", parsed.Depth, err)
		}
	})
}

// Changes of its Proto do not change an event.
func TestBuildCopies(t *testing.T) {
	t.Parallel()
	key := "key"
	p := Proto{
		RoomID: "!room:a.example", Type: "x", Sender: alice, StateKey: &key, Content: []byte(`{"a":"b"}`),
		PrevEvents: []string{"$p"}, AuthEvents: []string{"$a"},
	}
	e, err := Build(mustVersion(t, "11"), p, testSigner(serverA))
	if err != nil {
		t.Fatal(err)
	}
	key, p.PrevEvents[0], p.AuthEvents[0] = "other", "$other", "$other"
	copy(p.Content, `{"c":"d"}`)
	if *e.StateKey != "key" || e.PrevEvents()[0] != "$p" || e.AuthEvents()[0] != "$a" || string(e.Content) != `{"a":"b"}` {
		t.Errorf("the event became %+v", e)
	}
	wantError(t, e.VerifyHash(), "", "")
}

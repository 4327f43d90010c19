package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"homeserver/internal/matrix"
)

// ownError fails for an error that is not *matrix.Error: strangers always get an answer
// that says what is wrong with their input.
func ownError(t *testing.T, err error, codes ...matrix.Code) {
	t.Helper()
	for _, code := range codes {
		if matrix.IsCode(err, code) {
			return
		}
	}
	t.Fatalf("unexpected error: %v", err)
}

func FuzzCanonical(f *testing.F) {
	for _, c := range canonicalVectors {
		f.Add([]byte(c.in), true)
	}
	for _, seed := range []string{
		`{"b":1,"a":{"d":[1,2,3],"c":"\u0041\ud83d\ude00\n"}}`, `[1e5,-0,1.5,9007199254740991]`, `{"\"":1,"\\":2,"a":3,"\u0001":4}`,
		`{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `[[[[]]]]`, ` { "x" : [ true , false , null ] } `,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, strict bool) {
		before := bytes.Clone(raw)
		got, err := Canonical(raw, strict)
		if !bytes.Equal(before, raw) {
			t.Fatalf("the input was changed: %q", before)
		}
		if err != nil {
			ownError(t, err, matrix.NotJSON, matrix.BadJSON, matrix.TooLarge)
			if matrix.IsCode(err, matrix.NotJSON) && json.Valid(raw) && bytes.Equal(bytes.ToValidUTF8(raw, nil), raw) {
				t.Fatalf("%q is JSON, but: %v", raw, err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is not JSON", raw)
		}
		again, err := Canonical(got, strict)
		if err != nil || !bytes.Equal(got, again) {
			t.Fatalf("%q became %q, then %q, %v", raw, got, again, err)
		}
		if strict {
			if loose, err := Canonical(raw, false); err != nil || !bytes.Equal(loose, got) {
				t.Fatalf("%q is %q strictly, and %q, %v otherwise", raw, got, loose, err)
			}
		}
		sameMeaning(t, raw, got)
	})
}

// sameMeaning compares two documents as the standard library reads them.
func sameMeaning(t *testing.T, a, b []byte) {
	t.Helper()
	var first, second any
	if json.Unmarshal(a, &first) != nil || json.Unmarshal(b, &second) != nil {
		return // a number beyond float64
	}
	x, err1 := json.Marshal(first)
	y, err2 := json.Marshal(second)
	if err1 != nil || err2 != nil || !bytes.Equal(bytes.ReplaceAll(x, []byte("-0"), []byte("0")), bytes.ReplaceAll(y, []byte("-0"), []byte("0"))) {
		t.Fatalf("%q means %s, %q means %s", a, x, b, y)
	}
}

// FuzzIsJSON compares the check of JSON, and that of a stored event, with another reader.
func FuzzIsJSON(f *testing.F) {
	for _, c := range canonicalVectors {
		f.Add([]byte(c.in))
	}
	for _, seed := range []string{
		``, `{}`, `{`, `}`, `,"a":1}`, `{,"a":1}`, `{"a":1,}`, `{"a":1}}`, `{"a":1}{`, `{"a":[1,{"b":[]}],"a":{}}`, `{"a"}`, `{"a":}`, `{"a":1 }`, `{"a":"b c"}`,
		`[1,]`, `[,1]`, `[tru]`, `[true,false,null]`, `nulls`, `-`, `-0`, `01`, `1.`, `1.5e+3`, `1e`, ` 1 `, `"`, `"\"`, `"\`, `"\x"`, `"\u00"`, `"\u001f\/\b"`,
		`"\ud800"`, `"\udc00"`, `"\ud83d\ude00"`, `"\ud83d\n"`, "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"1234567\xc3\xa4 12345678\"", "\"12345678\xc3\"", `"12345678\"12345678"`,
		strings.Repeat(`{"a":`, 128) + `1` + strings.Repeat(`}`, 128), strings.Repeat(`{"a":`, 129) + `1` + strings.Repeat(`}`, 129),
		strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000), strings.Repeat(`[`, 10_001) + strings.Repeat(`]`, 10_001),
	} {
		f.Add([]byte(seed))
	}
	duplicates := jsontext.AllowDuplicateNames(true)
	f.Fuzz(func(t *testing.T, raw []byte) {
		valid := jsontext.Value(raw).IsValid(duplicates)
		if got := IsJSON(raw); got != valid {
			t.Fatalf("%q is JSON: %v, want %v", raw, got, valid)
		}
		compact := jsontext.Value(bytes.Clone(raw))
		stored := valid && raw[0] == '{' && compact.Compact(duplicates) == nil && bytes.Equal(compact, raw) && nesting(raw) <= maxNesting
		names, m := 0, checkedMembersOf(raw)
		for m.next() {
			names++
		}
		if m.whole != stored {
			t.Fatalf("%q may be stored: %v, want %v", raw, m.whole, stored)
		}
		for range Members(raw) {
			names--
		}
		if stored && names != 0 {
			t.Fatalf("%q has %d members more or fewer", raw, names)
		}
	})
}

// nesting returns how deep JSON is nested.
func nesting(raw []byte) (deepest int) {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			return deepest
		}
		deepest = max(deepest, d.StackDepth())
	}
}

func fuzzVersion(n uint8) *Version { return versions[int(n)%len(versions)] }

func addEventSeeds(f *testing.F) {
	for i, id := range Versions() {
		v := mustVersion(f, id)
		r := newTestRoom(f, v)
		for _, e := range r.state {
			f.Add(e.JSON, uint8(i))
		}
	}
	f.Add([]byte(fullEventOf(TypeMember, `{"membership":"join","third_party_invite":{"signed":{"x":1},"y":2}}`)), uint8(10))
	f.Add(received(nil), uint8(10))
	f.Add(received(map[string]string{"unsigned": `{}`, "type": `"m.room.redaction"`}), uint8(3))
}

func FuzzParse(f *testing.F) {
	addEventSeeds(f)
	signer := testSigner(serverA)
	f.Fuzz(func(t *testing.T, raw []byte, n uint8) {
		v := fuzzVersion(n)
		if e, err := ParseTrusted(v, "$id", raw); err == nil {
			e.Membership() // damaged bytes must not make the server panic
			e.JoinRule()
			e.CreateContent()
			_ = e.VerifyHash()
		}
		e, err := Parse(v, raw)
		if err != nil {
			ownError(t, err, matrix.NotJSON, matrix.BadJSON, matrix.TooLarge)
			return
		}
		again, err := Parse(v, e.JSON)
		if err != nil || again.ID != e.ID || !bytes.Equal(again.JSON, e.JSON) {
			t.Fatalf("%q read twice: %v", raw, err)
		}
		trusted, err := ParseTrusted(v, e.ID, e.JSON)
		if err != nil || trusted.RoomID != e.RoomID || trusted.Type != e.Type || trusted.Sender != e.Sender {
			t.Fatalf("%q trusted: %v", raw, err)
		}
		redacted, err := Redact(v, e.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := Parse(v, redacted); err != nil || after.ID != e.ID {
			t.Fatalf("%q has another ID when redacted: %v", raw, err)
		}
		e.CreateContent()
		_ = e.VerifyHash()
		_ = e.VerifySignature(serverA, signer.KeyID, signer.public())
	})
}

func FuzzRedact(f *testing.F) {
	addEventSeeds(f)
	f.Fuzz(func(t *testing.T, raw []byte, n uint8) {
		v := fuzzVersion(n)
		redacted, err := Redact(v, raw)
		if err != nil {
			ownError(t, err, matrix.NotJSON, matrix.BadJSON, matrix.TooLarge)
			return
		}
		again, err := Redact(v, redacted)
		if err != nil || !bytes.Equal(again, redacted) {
			t.Fatalf("%q redacted twice: %q, %q, %v", raw, redacted, again, err)
		}
		if canonical, err := Canonical(redacted, v.StrictJSON); err != nil || !bytes.Equal(canonical, redacted) {
			t.Fatalf("%q is not canonical: %v", redacted, err)
		}
	})
}

// For all power levels before and after a change, no user gets more power than the user
// who changes them.
func FuzzAuthorizePowerLevels(f *testing.F) {
	for i := range Versions() {
		f.Add([]byte(`{"ban":50,"users":{"@mod:a.example":50}}`), []byte(`{"ban":51,"users":{"@mod:a.example":51}}`), uint8(i))
		f.Add([]byte(`{"users":{"@mod:a.example":"100"}}`), []byte(`{"users":{"@mod:a.example":1e2}}`), uint8(i))
		f.Add([]byte(`{"users_default":50}`), []byte(`{"users_default":-1,"notifications":{"room":3},"events":{"x":0}}`), uint8(i))
		f.Add([]byte(`{}`), []byte(`{"events":[],"users":null}`), uint8(i))
	}
	f.Fuzz(func(t *testing.T, current, next []byte, n uint8) {
		v := fuzzVersion(n)
		if len(current)+len(next) > 4096 {
			return
		}
		for _, content := range [][]byte{current, next} {
			if _, err := canonicalObject(content, v.newNumbers(), 1); err != nil {
				return
			}
		}
		r := newTestRoom(t, v)
		r.put(creator, TypePowerLevels, "", string(current))
		err := r.try(stateProto(mod, TypePowerLevels, "", string(next)))
		if err != nil {
			ownError(t, err, matrix.Forbidden)
			return
		}
		// A user whose level is removed has users_default, which may be more: the rules
		// allow that.
		before := r.state
		r.state = maps.Clone(before)
		r.put(creator, TypePowerLevels, "", string(next))
		most := max(UserPower(v, before, mod), UserPower(v, before, "@nobody:a.example"))
		for _, user := range []string{mod, alice, "@new:a.example"} {
			if after := UserPower(v, r.state, user); after > max(most, UserPower(v, before, user)) {
				t.Fatalf("version %s: with %s, %s gave %s power %s, more than %s", v.ID, current, next, user, after, most)
			}
		}
	})
}

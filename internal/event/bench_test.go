package event

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

// A message with about 300 bytes of content, as clients send it.
var benchContent = []byte(`{"body":"` + strings.Repeat("Lorem ipsum dolor. ", 12) +
	`","format":"org.matrix.custom.html","m.mentions":{},"msgtype":"m.text"}`)

func benchProto(r *testRoom) Proto {
	return Proto{
		RoomID: r.create.RoomID, Type: "m.room.message", Sender: alice, Content: benchContent,
		OriginServerTS: 1700000000000, Depth: 100, PrevEvents: []string{r.last.ID},
		AuthEvents: []string{r.create.ID, r.state.Event(TypePowerLevels, "").ID, r.state.Event(TypeMember, alice).ID},
	}
}

func BenchmarkBuild(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	p, s := benchProto(r), testSigner(serverA)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Build(r.version, p, s); err != nil {
			b.Fatal(err)
		}
	}
}

// The cryptography alone, as the lower bound for Build.
func BenchmarkSignatureAlone(b *testing.B) {
	s, text := testSigner(serverA), make([]byte, 400)
	for b.Loop() {
		ed25519.Sign(s.Key, text)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	e := r.build(benchProto(r))
	b.ReportAllocs()
	for b.Loop() {
		if err := Authorize(r.version, e, r.state); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthorizeJoin(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	r.put(creator, TypeJoinRules, "", `{"join_rule":"public"}`)
	p := memberProto(stranger, stranger, Join)
	p.PrevEvents = []string{r.last.ID}
	e := r.build(p)
	b.ReportAllocs()
	for b.Loop() {
		if err := Authorize(r.version, e, r.state); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthKeys(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	p := benchProto(r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := AuthKeys(r.version, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"canonical", string(benchContent)},
		{"spaced", strings.ReplaceAll(string(benchContent), `":`, `": `)},
		{"unsorted", `{"msgtype":"m.text","body":"` + strings.Repeat("Lorem ipsum dolor. ", 12) + `","a":{"c":1,"b":2}}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			text := []byte(c.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Canonical(text, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	e := r.build(benchProto(r))
	b.Run("checked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(r.version, e.JSON); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("trusted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseTrusted(r.version, e.ID, e.JSON); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkIsJSON(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	e := r.build(benchProto(r))
	b.SetBytes(int64(len(e.JSON)))
	for b.Loop() {
		if !IsJSON(e.JSON) {
			b.Fatal("it is JSON")
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	e := r.build(benchProto(r))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Redact(r.version, e.JSON); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPowerLevels(b *testing.B) {
	r := newTestRoom(b, mustVersion(b, "11"))
	content := []byte(r.levels(`"events":{"m.room.name":50,"m.room.topic":50},"invite":50`))
	content, err := Canonical(content, true)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsePowerLevels(r.version, content); err != nil {
			b.Fatal(err)
		}
	}
}

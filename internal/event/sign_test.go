package event

import (
	"encoding/base64"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// The appendices, "Cryptographic Test Vectors", "JSON Signing".
func TestJSONSigningVectors(t *testing.T) {
	t.Parallel()
	s := testSigner("domain")
	for _, c := range []struct{ in, want string }{
		{
			`{}`,
			`{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}`,
		},
		{
			`{ "one": 1, "two": "Two" }`,
			`{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}`,
		},
	} {
		got, err := s.SignJSON([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("SignJSON(%s) = %s, %v; want %s", c.in, got, err, c.want)
		}
		if err := VerifyJSON(got, "domain", "ed25519:1", s.public()); err != nil {
			t.Errorf("VerifyJSON(%s): %v", got, err)
		}
	}
}

// eventVectors are the events of "Event Signing", as signed there. The version protects
// all members that they have, such as origin and event_id.
var eventVectors = []struct{ name, version, hash, signature, event string }{
	{
		"minimal", "10",
		"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
		"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg",
		`{"room_id":"!x:domain","sender":"@a:domain","origin":"domain","origin_server_ts":1000000,"signatures":{},
		"hashes":{"sha256":"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},"type":"X","content":{},"prev_events":[],
		"auth_events":[],"depth":3,"unsigned":{"age_ts":1000000}}`,
	},
	{
		"redactable content", "1",
		"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
		"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA",
		`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","origin":"domain",
		"origin_server_ts":1000000,"type":"m.room.message","room_id":"!r:domain","sender":"@u:domain","signatures":{},
		"hashes":{"sha256":"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"},"unsigned":{"age_ts":1000000}}`,
	},
}

// The appendices, "Cryptographic Test Vectors", "Event Signing".
func TestEventSigningVectors(t *testing.T) {
	t.Parallel()
	for _, c := range eventVectors {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, s := mustVersion(t, c.version), testSigner("domain")
			canonical, err := Canonical([]byte(c.event), v.StrictJSON)
			if err != nil {
				t.Fatal(err)
			}
			hash := contentHash(canonical)
			if got := base64.RawStdEncoding.EncodeToString(hash[:]); got != c.hash {
				t.Errorf("content hash %s, want %s", got, c.hash)
			}
			redacted, err := Redact(v, canonical)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.SignJSON(redacted)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := StringField(Field(Field(signed, "signatures"), "domain"), "ed25519:1")
			if got != c.signature {
				t.Errorf("signature %s, want %s", got, c.signature)
			}
		})
	}
}

// A minimal event of the vectors, made as Build would, verifies.
func TestVectorVerifies(t *testing.T) {
	t.Parallel()
	c := eventVectors[0]
	v, s := mustVersion(t, c.version), testSigner("domain")
	raw := strings.Replace(c.event, `"signatures":{}`, `"signatures":{"domain":{"ed25519:1":"`+c.signature+`"}}`, 1)
	e, err := Parse(v, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.VerifyHash(); err != nil {
		t.Error(err)
	}
	if err := e.VerifySignature("domain", "ed25519:1", s.public()); err != nil {
		t.Error(err)
	}
}

func TestSignJSONKeepsOtherSignaturesAndUnsigned(t *testing.T) {
	t.Parallel()
	s := testSigner("m.example")
	other := testSigner("z.example")
	other.KeyID = "ed25519:other"
	signed, err := other.SignJSON([]byte(`{"name":"x","unsigned":{"age":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = s.SignJSON(signed); err != nil {
		t.Fatal(err)
	}
	s.KeyID = "ed25519:0"
	if signed, err = s.SignJSON(signed); err != nil {
		t.Fatal(err)
	}
	for _, key := range []struct{ server, id string }{
		{"m.example", "ed25519:0"}, {"m.example", "ed25519:1"}, {"z.example", "ed25519:other"},
	} {
		if err := VerifyJSON(signed, key.server, key.id, s.public()); err != nil {
			t.Errorf("%s %s: %v", key.server, key.id, err)
		}
	}
	if got := string(Field(signed, "unsigned")); got != `{"age":1}` {
		t.Errorf("unsigned became %s", got)
	}
	changed := strings.Replace(string(signed), `{"age":1}`, `{"age":2}`, 1)
	if err := VerifyJSON([]byte(changed), "m.example", "ed25519:1", s.public()); err != nil {
		t.Errorf("unsigned is signed: %v", err)
	}
	if canonical, err := Canonical(signed, true); err != nil || string(canonical) != string(signed) {
		t.Errorf("SignJSON gave what is not canonical: %s", signed)
	}
}

func TestVerifyJSONRefuses(t *testing.T) {
	t.Parallel()
	s := testSigner("domain")
	signed, err := s.SignJSON([]byte(`{"one":1}`))
	if err != nil {
		t.Fatal(err)
	}
	good := string(signed)
	for _, c := range []struct {
		name, json, server, keyID string
		code                      matrix.Code
	}{
		{"unsigned", `{"one":1}`, "domain", "ed25519:1", matrix.Unauthorized},
		{"another server", good, "other", "ed25519:1", matrix.Unauthorized},
		{"another key", good, "domain", "ed25519:2", matrix.Unauthorized},
		{"changed", strings.Replace(good, `"one":1`, `"one":2`, 1), "domain", "ed25519:1", matrix.Unauthorized},
		{"more", strings.Replace(good, `"one":1`, `"one":1,"p":2`, 1), "domain", "ed25519:1", matrix.Unauthorized},
		{"broken signature", strings.Replace(good, `:1":"`, `:1":"AAAA`, 1), "domain", "ed25519:1", matrix.Unauthorized},
		{"not Base64", `{"signatures":{"domain":{"ed25519:1":"!"}}}`, "domain", "ed25519:1", matrix.Unauthorized},
		{"signature not text", `{"signatures":{"domain":{"ed25519:1":1}}}`, "domain", "ed25519:1", matrix.Unauthorized},
		{"signatures not an object", `{"signatures":[]}`, "domain", "ed25519:1", matrix.Unauthorized},
		{"not an object", `[]`, "domain", "ed25519:1", matrix.BadJSON},
		{"not JSON", `{`, "domain", "ed25519:1", matrix.NotJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantError(t, VerifyJSON([]byte(c.json), c.server, c.keyID, s.public()), c.code, "")
		})
	}
	if err := VerifyJSON(signed, "domain", "ed25519:1", nil); !matrix.IsCode(err, matrix.Unauthorized) {
		t.Errorf("a key of the wrong length: got %v", err)
	}
	for _, bad := range []string{`[]`, `1.5`, `{`} {
		if _, err := s.SignJSON([]byte(bad)); err == nil {
			t.Errorf("SignJSON(%s) worked", bad)
		}
	}
}

func TestVerifySignatureOfEvent(t *testing.T) {
	t.Parallel()
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		s := r.signers[serverA]
		p := message(alice)
		p.PrevEvents = []string{r.last.ID}
		e := r.build(p)
		wantError(t, e.VerifySignature(serverA, s.KeyID, s.public()), "", "")
		wantError(t, e.VerifySignature(serverB, s.KeyID, s.public()), matrix.Unauthorized, "no signature of b.example")
		wantError(t, e.VerifySignature(serverA, "ed25519:2", s.public()), matrix.Unauthorized, "no signature")

		// The signature does not cover members that a redaction removes; the hash does.
		changed, err := Parse(v, []byte(strings.Replace(string(e.JSON), "hello", "howdy", 1)))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, changed.VerifySignature(serverA, s.KeyID, s.public()), "", "")
		wantError(t, changed.VerifyHash(), matrix.BadJSON, "does not match")

		forged, err := Parse(v, []byte(strings.Replace(string(e.JSON), alice, mod, 1)))
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, forged.VerifySignature(serverA, s.KeyID, s.public()), matrix.Unauthorized, "is wrong")
	})
}

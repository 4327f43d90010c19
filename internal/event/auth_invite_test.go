package event

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// redeemed returns an m.room.member that redeems an invitation signed by the signer.
func redeemed(t testing.TB, s *Signer, sender, target, mxid, token string) Proto {
	t.Helper()
	signed, err := s.SignJSON([]byte(`{"mxid":"` + mxid + `","token":"` + token + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	return stateProto(sender, TypeMember, target,
		`{"membership":"invite","third_party_invite":{"display_name":"x","signed":`+string(signed)+`}}`)
}

// Rule 4.4.1: m.room.third_party_invite is redeemed.
func TestAuthorizeThirdPartyInvite(t *testing.T) {
	t.Parallel()
	signer := testSigner("identity.example")
	key := base64.RawStdEncoding.EncodeToString(signer.public())
	urlKey := base64.RawURLEncoding.EncodeToString(signer.public())
	padded := base64.StdEncoding.EncodeToString(signer.public())
	wrong := base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	state := func(content string) []stateEvent {
		return []stateEvent{{alice, TypeThirdPartyInvite, "token", content}}
	}
	one := state(`{"display_name":"x","public_key":"` + key + `"}`)
	good := redeemed(t, signer, alice, stranger, stranger, "token")
	with := func(change func(content string) string) Proto {
		p := good
		p.Content = []byte(change(string(good.Content)))
		return p
	}
	replace := func(old, replacement string) Proto {
		return with(func(content string) string { return strings.ReplaceAll(content, old, replacement) })
	}
	const notSigned = "is not signed with a key"
	runAuthCases(t, []authCase{
		{"good", "1-12", one, good, ""},
		{"key in the URL-safe alphabet", "1-12", state(`{"public_key":"` + urlKey + `"}`), good, ""},
		{"key with padding", "1-12", state(`{"public_key":"` + padded + `"}`), good, ""},
		{"key in the list", "1-12", state(`{"public_keys":[{"public_key":"` + wrong + `"},{"public_key":"` + key + `"}]}`), good, ""},
		{"key in the list beside a wrong one", "1-12", state(`{"public_key":"` + wrong + `","public_keys":[{"public_key":"` + key + `"}]}`), good, ""},
		{"no invite level needed", "1-12", append(state(`{"public_key":"`+key+`"}`), levelsState(`"invite":50`)), good, ""},
		{"the sender need not be in the room any more", "1-12", append(one[:1:1], memberState(alice, Leave)), good, ""},

		{"target is banned", "1-12", one, redeemed(t, signer, alice, banned, banned, "token"), "is banned"},
		{"no signed", "1-12", one, stateProto(alice, TypeMember, stranger, `{"membership":"invite","third_party_invite":{}}`), "has no signed"},
		{"third_party_invite text", "1-12", one, stateProto(alice, TypeMember, stranger, `{"membership":"invite","third_party_invite":"x"}`), "has no signed"},
		{"third_party_invite null", "1-12", one, stateProto(alice, TypeMember, stranger, `{"membership":"invite","third_party_invite":null}`), "has no signed"},
		{"signed null", "1-12", one, stateProto(alice, TypeMember, stranger, `{"membership":"invite","third_party_invite":{"signed":null}}`), "needs mxid and token"},
		{"no mxid", "1-12", one, replace(`"mxid"`, `"m"`), "needs mxid and token"},
		{"no token", "1-12", one, replace(`"token":`, `"t":`), "needs mxid and token"},
		{"token a number", "1-12", one, replace(`"token":"token"`, `"token":5`), "needs mxid and token"},
		{"for somebody else", "1-12", one, redeemed(t, signer, alice, stranger, left, "token"), "is for"},
		{"no such token", "1-12", one, redeemed(t, signer, alice, stranger, stranger, "other"), "no m.room.third_party_invite event"},
		{"by somebody else", "1-12", one, redeemed(t, signer, mod, stranger, stranger, "token"), "in the name of its sender only"},
		{"wrong key", "1-12", state(`{"public_key":"` + wrong + `"}`), good, notSigned},
		{"no key", "1-12", state(`{}`), good, notSigned},
		{"key too short", "1-12", state(`{"public_key":"AAAA"}`), good, notSigned},
		{"key not Base64", "1-12", state(`{"public_key":"!"}`), good, notSigned},
		{"key a number", "1-12", state(`{"public_key":1,"public_keys":{"public_key":"` + key + `"}}`), good, notSigned},
		{"revoked", "1-12", state(`{}`), good, notSigned},
		{"changed after signing", "1-12", one, replace(`"token":"token"`, `"token":"token","x":1`), notSigned},
		{"no signatures", "1-12", one, replace(`"signatures"`, `"s"`), notSigned},
		{"another algorithm", "1-12", one, replace(`ed25519:1`, `rsa:1`), notSigned},
		{"signature not text", "1-12", one, replace(`"ed25519:1":"`, `"ed25519:1":5,"ed25519:x":"A`), notSigned},
	})
}

// Many keys and signatures cannot keep the server busy.
func TestThirdPartyInviteVerificationsAreBounded(t *testing.T) {
	t.Parallel()
	signer := testSigner("identity.example")
	var keys [][]byte
	for range maxVerifications {
		keys = append(keys, make([]byte, 32))
	}
	signed, err := signer.SignJSON([]byte(`{"mxid":"@a:b","token":"t"}`))
	if err != nil {
		t.Fatal(err)
	}
	if signedByAny(signed, append(keys, signer.public())) {
		t.Error("more keys are tried than maxVerifications")
	}
	if !signedByAny(signed, append(keys[:maxVerifications-1], signer.public())) {
		t.Error("fewer keys are tried than maxVerifications")
	}
}

// From version 11 on a redaction leaves the members of a redeemed invitation that the
// rules need.
func TestRedactedThirdPartyInvite(t *testing.T) {
	t.Parallel()
	signer := testSigner("identity.example")
	eachVersion(t, "1-12", func(t *testing.T, v *Version) {
		r := newTestRoom(t, v)
		r.put(alice, TypeThirdPartyInvite, "token",
			fmt.Sprintf(`{"public_key":"%s"}`, base64.RawStdEncoding.EncodeToString(signer.public())))
		r.put(alice, TypeMember, alice, `{"membership":"leave"}`)
		p := redeemed(t, signer, alice, stranger, stranger, "token")
		p.RoomID, p.PrevEvents = r.create.RoomID, []string{r.last.ID}
		e := r.build(p)
		wantError(t, Authorize(v, e, r.state), "", "")
		redacted, err := Redact(v, e.JSON)
		if err != nil {
			t.Fatal(err)
		}
		after, err := Parse(v, redacted)
		if err != nil {
			t.Fatal(err)
		}
		code := matrix.Forbidden
		if v.redaction.signedInvite {
			code = ""
		}
		wantError(t, Authorize(v, after, r.state), code, "is not in the room")
	})
}

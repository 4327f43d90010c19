package thirdpartyinvite_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/identity/identitytest"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice = "@alice:localhost"
	bob   = "@bob:localhost"
	carol = "@carol:localhost"
)

// house is the services of one server, and an identity server.
type house struct {
	*thirdpartyinvite.Service
	t        *testing.T
	journal  *journal.Journal
	rooms    *rooms.Service
	identity *identitytest.Server
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	pool := postgrestest.New(t)
	j := journal.New(pool, journal.Options{})
	h := &house{t: t, journal: j, identity: identitytest.New(t)}
	signer := &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	profiles := profile.New(pool)
	h.rooms = rooms.New(rooms.Options{Pool: pool, Journal: j, Profiles: profiles, Signer: signer})
	h.Service = thirdpartyinvite.New(j, h.rooms, h.identity.Client(), nil)
	h.ok(j.Start(t.Context()))
	t.Cleanup(func() {
		if err := j.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) email(address string) thirdpartyinvite.Address {
	return thirdpartyinvite.Address{IDServer: h.identity.Name(), IDAccessToken: identitytest.Token, Medium: "email", Address: address}
}

func (h *house) room(q rooms.CreateRequest) string {
	h.t.Helper()
	created, err := h.Create(h.t.Context(), alice, q)
	h.ok(err)
	return created.RoomID
}

// content gives the content of a state event as alice sees it; nil if there is none.
func (h *house) content(room, evType, key string) (content map[string]any) {
	h.t.Helper()
	e, _, err := h.rooms.Timeline.StateEvent(h.t.Context(), alice, room, evType, key)
	if matrix.IsCode(err, matrix.NotFound) {
		return nil
	}
	h.ok(err)
	h.ok(json.Unmarshal(e.Content(), &content))
	return content
}

func (h *house) wantMembership(room, user string, want any) {
	h.t.Helper()
	if got := h.content(room, "m.room.member", user)["membership"]; got != want {
		h.t.Errorf("%s has membership %v, want %v", user, got, want)
	}
}

func wantCode(t *testing.T, what string, err error, code matrix.Code) {
	t.Helper()
	if !matrix.IsCode(err, code) {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func TestAKnownAddressIsInvitedAsAUser(t *testing.T) {
	h := newHouse(t)
	h.identity.Bind("email", "bob@example.com", bob)
	h.identity.Bind("msisdn", "491511234567", carol)
	room := h.room(rooms.CreateRequest{})
	h.ok(h.Invite(t.Context(), alice, room, "please", h.email(" Bob@Example.COM")))
	h.wantMembership(room, bob, "invite")
	if got := h.content(room, "m.room.member", bob)["reason"]; got != "please" {
		t.Errorf("reason %v", got)
	}
	phone := h.email("+491511234567")
	phone.Medium = "msisdn"
	h.ok(h.Invite(t.Context(), alice, room, "", phone))
	h.wantMembership(room, carol, "invite")
	if n := len(h.identity.Invites()); n != 0 {
		t.Errorf("%d invitations were stored", n)
	}
}

func TestAnUnknownAddressIsInvitedByToken(t *testing.T) {
	h := newHouse(t)
	room := h.room(rooms.CreateRequest{
		Name: "Party", Preset: "private_chat", AliasName: "party", CreationContent: map[string]json.RawMessage{"type": []byte(`"m.space"`)},
	})
	h.ok(h.Invite(t.Context(), alice, room, "", h.email("bob@example.com")))
	want := []identity.Invite{{
		Medium: "email", Address: "bob@example.com", RoomID: room, Sender: alice, RoomName: "Party",
		RoomAlias: "#party:localhost", RoomJoinRule: "invite", RoomType: "m.space",
	}}
	if diff := cmp.Diff(want, h.identity.Invites()); diff != "" {
		t.Error(diff)
	}
	content := h.content(room, "m.room.third_party_invite", "token-0")
	keys, _ := content["public_keys"].([]any)
	if content["display_name"] != "b..." || content["public_key"] == "" || content["key_validity_url"] == "" || len(keys) != 1 {
		t.Errorf("got %v", content)
	}
	if text, err := json.Marshal(content); err != nil || strings.Contains(string(text), "example.com") {
		t.Errorf("the address is in the event: %s %v", text, err)
	}
}

func TestOnlyThoseWhoMayInviteReachTheIdentityServer(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.room(rooms.CreateRequest{Preset: "public_chat", PowerLevels: map[string]json.RawMessage{"invite": []byte("50")}})
	h.ok(h.rooms.Join(ctx, carol, room, ""))
	wantCode(t, "without the power", h.Invite(ctx, carol, room, "", h.email("x@example.com")), matrix.Forbidden)
	wantCode(t, "a stranger", h.Invite(ctx, bob, room, "", h.email("x@example.com")), matrix.Forbidden)
	wantCode(t, "no room", h.Invite(ctx, alice, "!none:localhost", "", h.email("x@example.com")), matrix.Forbidden)
	if got := h.identity.Requests(); len(got) != 0 {
		t.Errorf("the identity server was asked for %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.room(rooms.CreateRequest{})
	for name, test := range map[string]struct {
		change func(*thirdpartyinvite.Address)
		code   matrix.Code
	}{
		"no server":      {func(a *thirdpartyinvite.Address) { a.IDServer = "" }, matrix.MissingParam},
		"no token":       {func(a *thirdpartyinvite.Address) { a.IDAccessToken = "" }, matrix.MissingParam},
		"no medium":      {func(a *thirdpartyinvite.Address) { a.Medium = "" }, matrix.MissingParam},
		"no address":     {func(a *thirdpartyinvite.Address) { a.Address = "" }, matrix.MissingParam},
		"strange medium": {func(a *thirdpartyinvite.Address) { a.Medium = "pigeon" }, matrix.InvalidParam},
		"wrong token":    {func(a *thirdpartyinvite.Address) { a.IDAccessToken = "x" }, matrix.Forbidden},
		"other server":   {func(a *thirdpartyinvite.Address) { a.IDServer = "elsewhere.example" }, matrix.ServerNotTrusted},
		"phone, unknown": {func(a *thirdpartyinvite.Address) { a.Medium, a.Address = "msisdn", "447700900001" }, matrix.Unrecognized},
		"no phone":       {func(a *thirdpartyinvite.Address) { a.Medium = "msisdn" }, matrix.InvalidParam},
		"no name":        {func(a *thirdpartyinvite.Address) { a.Address = "x@[127.0.0.1]" }, matrix.InvalidParam},
	} {
		a := h.email("x@example.com")
		test.change(&a)
		wantCode(t, name, h.Invite(ctx, alice, room, "", a), test.code)
		raw, err := json.Marshal(a)
		h.ok(err)
		_, err = h.Create(ctx, alice, rooms.CreateRequest{Invite3PID: []json.RawMessage{raw}})
		wantCode(t, "create: "+name, err, test.code)
	}
	h.identity.Bind("email", "far@example.com", "@far:elsewhere.example")
	wantCode(t, "out of reach", h.Invite(ctx, alice, room, "", h.email("far@example.com")), matrix.Forbidden)
	_, err := h.Create(ctx, alice, rooms.CreateRequest{Invite3PID: []json.RawMessage{[]byte(`7`)}})
	wantCode(t, "no object", err, matrix.BadJSON)
	_, err = h.Create(ctx, alice, rooms.CreateRequest{Invite3PID: make([]json.RawMessage, 51)})
	wantCode(t, "too many", err, matrix.InvalidParam)
}

func TestCreateWithAddresses(t *testing.T) {
	h := newHouse(t)
	h.identity.Bind("email", "bob@example.com", bob)
	var list []json.RawMessage
	for _, address := range []string{"bob@example.com", "new@example.com"} {
		raw, err := json.Marshal(h.email(address))
		h.ok(err)
		list = append(list, raw)
	}
	room := h.room(rooms.CreateRequest{IsDirect: true, Invite: []string{carol}, Invite3PID: list})
	h.wantMembership(room, bob, "invite")
	h.wantMembership(room, carol, "invite")
	if got := h.content(room, "m.room.member", bob)["is_direct"]; got != true {
		t.Errorf("is_direct %v", got)
	}
	if h.content(room, "m.room.third_party_invite", "token-0") == nil || len(h.identity.Invites()) != 1 {
		t.Error("the new address was not invited")
	}
}

// invited makes a private room with an invitation to an address.
func (h *house) invited(version string) string {
	h.t.Helper()
	room := h.room(rooms.CreateRequest{RoomVersion: version})
	h.ok(h.Invite(h.t.Context(), alice, room, "", h.email("bob@example.com")))
	return room
}

func TestAnInvitationIsRedeemed(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	for i, version := range []string{"1", "6", "11", "12"} {
		room := h.invited(version)
		token := "token-" + string(rune('0'+i))
		wantCode(t, "without a proof", h.rooms.Join(ctx, bob, room, ""), matrix.Forbidden)
		signed := h.identity.Sign(token, bob, alice)
		h.ok(h.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room, Reason: "here I am"}, signed))
		h.wantMembership(room, bob, "join")
		if got := h.content(room, "m.room.member", bob)["reason"]; got != "here I am" {
			t.Errorf("reason %v", got)
		}
		st, err := h.rooms.Timeline.Messages(ctx, alice, room, timeline.Page{Backward: true, Limit: 2})
		h.ok(err)
		invite := st.Events[1]
		if invite.Sender != alice || invite.Membership() != "invite" || !strings.Contains(string(invite.Content()), `"third_party_invite":{"display_name":"b...","signed":{`) {
			t.Errorf("version %s: the invite by %s is %s", version, invite.Sender, invite.Content())
		}
		h.ok(h.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room}, signed)) // again, which changes nothing
		h.ok(h.rooms.Leave(ctx, bob, room, ""))
		h.ok(h.rooms.Invite(ctx, alice, room, bob, ""))
		h.ok(h.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room}, signed)) // while invited anyway
		h.wantMembership(room, bob, "join")
	}
}

func TestProofsThatProveNothing(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	room := h.invited("11")
	other := h.invited("11")
	refused := func(what, user, room string, signed json.RawMessage) {
		t.Helper()
		wantCode(t, what, h.Join(ctx, rooms.JoinRequest{UserID: user, RoomID: room}, signed), matrix.Forbidden)
	}
	good := h.identity.Sign("token-0", bob, alice)
	refused("somebody else's", carol, room, good)
	refused("of another room", bob, other, good)
	refused("of no room", bob, "!none:localhost", good)
	refused("another key", bob, room, h.identity.SignByAnother("token-0", bob, alice))
	refused("another sender", bob, room, h.identity.Sign("token-0", bob, carol))
	refused("no such token", bob, room, h.identity.Sign("token-9", bob, alice))
	refused("no signature", bob, room, json.RawMessage(`{"mxid":"@bob:localhost","sender":"@alice:localhost","token":"token-0"}`))
	refused("odd signatures", bob, room, json.RawMessage(`{"mxid":"@bob:localhost","sender":"@alice:localhost","signatures":7,"token":"token-0"}`))
	refused("changed", bob, room, json.RawMessage(strings.Replace(string(good), `"mxid"`, `"extra":1,"mxid"`, 1)))
	refused("NUL", bob, room, json.RawMessage(`{"token":"a\u0000b"}`))
	h.ok(h.rooms.Ban(ctx, alice, room, bob, ""))
	refused("while banned", bob, room, good)
	h.ok(h.rooms.Unban(ctx, alice, room, bob, ""))
	_, err := h.rooms.SetState(ctx, rooms.Request{UserID: alice, RoomID: other}, "m.room.third_party_invite", "token-1", []byte(`{}`))
	h.ok(err)
	refused("taken back", bob, other, h.identity.Sign("token-1", bob, alice))
	h.identity.Revoke()
	refused("revoked key", bob, room, good)
	h.wantMembership(room, bob, "leave")
}

func TestWithoutTheIdentityServerNothingIsRedeemed(t *testing.T) {
	h := newHouse(t)
	room := h.invited("11")
	signed := h.identity.Sign("token-0", bob, alice)
	h.identity.Close()
	wantCode(t, "join", h.Join(t.Context(), rooms.JoinRequest{UserID: bob, RoomID: room}, signed), matrix.Unknown)
	wantCode(t, "invite", h.Invite(t.Context(), alice, room, "", h.email("x@example.com")), matrix.Unknown)
}

// Each address was looked up, and a stranger got a mail, before anything was counted.
func TestInvitationsByAddressCountBeforeAnybodyIsAsked(t *testing.T) {
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Invites: {PerSecond: 1e-6, Burst: 3}, ratelimit.MailsToAddress: {PerSecond: 1e-6, Burst: 1},
	}, time.Now, 0)
	h := newHouse(t)
	h.Service = thirdpartyinvite.New(h.journal, h.rooms, h.identity.Client(), limits)
	h.identity.Bind("email", "bob@example.com", bob)
	ctx, other := matrix.WithCaller(t.Context(), alice), matrix.WithCaller(t.Context(), carol)
	room := h.room(rooms.CreateRequest{})
	for range 3 { // of users, package rooms counts
		h.ok(h.Invite(ctx, alice, room, "", h.email("bob@example.com")))
	}
	h.ok(h.Invite(ctx, alice, room, "", h.email("x@example.com")))
	asked, mails := len(h.identity.Requests()), len(h.identity.Invites())
	list := make([]json.RawMessage, 3)
	for i := range list {
		list[i], _ = json.Marshal(h.email(fmt.Sprint(i, "@example.com")))
	}
	_, err := h.Create(ctx, alice, rooms.CreateRequest{Invite3PID: list})
	wantCode(t, "more than there may be", err, matrix.LimitExceeded)
	if n := len(h.identity.Requests()); n != asked {
		t.Errorf("the identity server was asked %d times", n-asked)
	}
	wantCode(t, "another mail to one address", h.Invite(other, alice, room, "", h.email("x@example.com")), matrix.LimitExceeded)
	if n := len(h.identity.Invites()); n != mails {
		t.Errorf("%d more mails were sent", n-mails)
	}
}

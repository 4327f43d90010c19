package thirdpartyinvite_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/identity/identitytest"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/rooms/timeline"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const alice, bob, carol = roomstest.Alice, roomstest.Bob, roomstest.Carol

// env is the harness with invitations by e-mail, and an identity server.
type env struct {
	*roomstest.Env
	*thirdpartyinvite.Service
	identity *identitytest.Server
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	h := &env{Env: roomstest.Open(t, roomstest.Options{}), identity: identitytest.New(t)}
	h.Service = thirdpartyinvite.New(h.Journal, h.Rooms, h.identity.Client(), nil)
	h.Run()
	return h
}

func (h *env) room(q rooms.CreateRequest) string {
	h.T.Helper()
	created, err := h.Service.Create(h.T.Context(), alice, q)
	h.OK(err)
	return created.RoomID
}

func (h *env) email(address string) thirdpartyinvite.Address {
	return thirdpartyinvite.Address{IDServer: h.identity.Name(), IDAccessToken: identitytest.Token, Medium: "email", Address: address}
}

// content returns the content of a state event as alice sees it; nil if there is none.
func (h *env) content(room, evType, key string) (content map[string]any) {
	h.T.Helper()
	e, _, err := h.Rooms.Timeline.For(alice).StateEvent(h.T.Context(), room, evType, key)
	if matrix.IsCode(err, matrix.NotFound) {
		return nil
	}
	h.OK(err)
	h.OK(json.Unmarshal(e.Content(), &content))
	return content
}

func TestAKnownAddressIsInvitedAsAUser(t *testing.T) {
	h := newEnv(t)
	h.identity.Bind("email", "bob@example.com", bob)
	h.identity.Bind("msisdn", "491511234567", carol)
	room := h.room(rooms.CreateRequest{})
	h.OK(h.Service.Invite(t.Context(), alice, room, "please", h.email(" Bob@Example.COM")))
	h.WantMembership(room, bob, "invite")
	if got := h.content(room, "m.room.member", bob)["reason"]; got != "please" {
		t.Errorf("reason %v", got)
	}
	phone := h.email("+491511234567")
	phone.Medium = "msisdn"
	h.OK(h.Service.Invite(t.Context(), alice, room, "", phone))
	h.WantMembership(room, carol, "invite")
	if n := len(h.identity.Invites()); n != 0 {
		t.Errorf("%d invitations were stored", n)
	}
}

func TestAnUnknownAddressIsInvitedByToken(t *testing.T) {
	h := newEnv(t)
	room := h.room(rooms.CreateRequest{
		Name: "Party", Preset: "private_chat", AliasName: "party", CreationContent: map[string]json.RawMessage{"type": []byte(`"m.space"`)},
	})
	h.OK(h.Service.Invite(t.Context(), alice, room, "", h.email("bob@example.com")))
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
	h := newEnv(t)
	ctx := t.Context()
	room := h.room(rooms.CreateRequest{Preset: "public_chat", PowerLevels: map[string]json.RawMessage{"invite": []byte("50")}})
	h.OK(h.Rooms.Join(ctx, carol, room, ""))
	matrixtest.WantCode(t, h.Service.Invite(ctx, carol, room, "", h.email("x@example.com")), matrix.Forbidden, "without the power")
	matrixtest.WantCode(t, h.Service.Invite(ctx, bob, room, "", h.email("x@example.com")), matrix.Forbidden, "a stranger")
	matrixtest.WantCode(t, h.Service.Invite(ctx, alice, "!none:localhost", "", h.email("x@example.com")), matrix.Forbidden, "no room")
	if got := h.identity.Requests(); len(got) != 0 {
		t.Errorf("the identity server was asked for %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := newEnv(t)
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
		matrixtest.WantCode(t, h.Service.Invite(ctx, alice, room, "", a), test.code, name)
		raw, err := json.Marshal(a)
		h.OK(err)
		_, err = h.Service.Create(ctx, alice, rooms.CreateRequest{Invite3PID: []json.RawMessage{raw}})
		matrixtest.WantCode(t, err, test.code, "create: "+name)
	}
	h.identity.Bind("email", "far@example.com", "@far:elsewhere.example")
	matrixtest.WantCode(t, h.Service.Invite(ctx, alice, room, "", h.email("far@example.com")), matrix.Forbidden, "out of reach")
	_, err := h.Service.Create(ctx, alice, rooms.CreateRequest{Invite3PID: []json.RawMessage{[]byte(`7`)}})
	matrixtest.WantCode(t, err, matrix.BadJSON, "no object")
	_, err = h.Service.Create(ctx, alice, rooms.CreateRequest{Invite3PID: make([]json.RawMessage, 51)})
	matrixtest.WantCode(t, err, matrix.InvalidParam, "too many")
}

func TestCreateWithAddresses(t *testing.T) {
	h := newEnv(t)
	h.identity.Bind("email", "bob@example.com", bob)
	var list []json.RawMessage
	for _, address := range []string{"bob@example.com", "new@example.com"} {
		raw, err := json.Marshal(h.email(address))
		h.OK(err)
		list = append(list, raw)
	}
	room := h.room(rooms.CreateRequest{IsDirect: true, Invite: []string{carol}, Invite3PID: list})
	h.WantMembership(room, bob, "invite")
	h.WantMembership(room, carol, "invite")
	if got := h.content(room, "m.room.member", bob)["is_direct"]; got != true {
		t.Errorf("is_direct %v", got)
	}
	if h.content(room, "m.room.third_party_invite", "token-0") == nil || len(h.identity.Invites()) != 1 {
		t.Error("the new address was not invited")
	}
}

// invited makes a private room with an invitation to an address.
func (h *env) invited(version string) string {
	h.T.Helper()
	room := h.room(rooms.CreateRequest{RoomVersion: version})
	h.OK(h.Service.Invite(h.T.Context(), alice, room, "", h.email("bob@example.com")))
	return room
}

func TestAnInvitationIsRedeemed(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	for i, version := range []string{"1", "6", "11", "12"} {
		room := h.invited(version)
		token := "token-" + string(rune('0'+i))
		matrixtest.WantCode(t, h.Rooms.Join(ctx, bob, room, ""), matrix.Forbidden, "without a proof")
		signed := h.identity.Sign(token, bob, alice)
		h.OK(h.Service.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room, Reason: "here I am"}, signed))
		h.WantMembership(room, bob, "join")
		if got := h.content(room, "m.room.member", bob)["reason"]; got != "here I am" {
			t.Errorf("reason %v", got)
		}
		st, err := h.Rooms.Timeline.For(alice).Messages(ctx, room, timeline.Page{Backward: true, Limit: 2})
		h.OK(err)
		invite := st.Events[1]
		if invite.Sender != alice || invite.Membership() != "invite" || !strings.Contains(string(invite.Content()), `"third_party_invite":{"display_name":"b...","signed":{`) {
			t.Errorf("version %s: the invite by %s is %s", version, invite.Sender, invite.Content())
		}
		h.OK(h.Service.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room}, signed)) // again, which changes nothing
		h.OK(h.Rooms.Leave(ctx, bob, room, ""))
		h.OK(h.Rooms.Invite(ctx, alice, room, bob, ""))
		h.OK(h.Service.Join(ctx, rooms.JoinRequest{UserID: bob, RoomID: room}, signed)) // while invited anyway
		h.WantMembership(room, bob, "join")
	}
}

func TestProofsThatProveNothing(t *testing.T) {
	h := newEnv(t)
	ctx := t.Context()
	room := h.invited("11")
	other := h.invited("11")
	refused := func(what, user, room string, signed json.RawMessage) {
		t.Helper()
		matrixtest.WantCode(t, h.Service.Join(ctx, rooms.JoinRequest{UserID: user, RoomID: room}, signed), matrix.Forbidden, what)
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
	h.OK(h.Rooms.Ban(ctx, alice, room, bob, ""))
	refused("while banned", bob, room, good)
	h.OK(h.Rooms.Unban(ctx, alice, room, bob, ""))
	_, err := h.Rooms.SetState(ctx, rooms.Request{UserID: alice, RoomID: other}, "m.room.third_party_invite", "token-1", []byte(`{}`))
	h.OK(err)
	refused("taken back", bob, other, h.identity.Sign("token-1", bob, alice))
	h.identity.Revoke()
	refused("revoked key", bob, room, good)
	h.WantMembership(room, bob, "leave")
}

func TestWithoutTheIdentityServerNothingIsRedeemed(t *testing.T) {
	h := newEnv(t)
	room := h.invited("11")
	signed := h.identity.Sign("token-0", bob, alice)
	h.identity.Close()
	matrixtest.WantCode(t, h.Service.Join(t.Context(), rooms.JoinRequest{UserID: bob, RoomID: room}, signed), matrix.Unknown, "join")
	matrixtest.WantCode(t, h.Service.Invite(t.Context(), alice, room, "", h.email("x@example.com")), matrix.Unknown, "invite")
}

// Each address was looked up, and a stranger got a mail, before anything was counted.
func TestInvitationsByAddressCountBeforeAnybodyIsAsked(t *testing.T) {
	limits := ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{
		ratelimit.Invites: {PerSecond: 1e-6, Burst: 3}, ratelimit.MailsToAddress: {PerSecond: 1e-6, Burst: 1},
	}, time.Now, 0)
	h := newEnv(t)
	h.Service = thirdpartyinvite.New(h.Journal, h.Rooms, h.identity.Client(), limits)
	h.identity.Bind("email", "bob@example.com", bob)
	ctx, other := matrix.WithCaller(t.Context(), alice), matrix.WithCaller(t.Context(), carol)
	room := h.room(rooms.CreateRequest{})
	for range 3 { // of users, package rooms counts
		h.OK(h.Service.Invite(ctx, alice, room, "", h.email("bob@example.com")))
	}
	h.OK(h.Service.Invite(ctx, alice, room, "", h.email("x@example.com")))
	asked, mails := len(h.identity.Requests()), len(h.identity.Invites())
	list := make([]json.RawMessage, 3)
	for i := range list {
		list[i], _ = json.Marshal(h.email(fmt.Sprint(i, "@example.com")))
	}
	_, err := h.Service.Create(ctx, alice, rooms.CreateRequest{Invite3PID: list})
	matrixtest.WantCode(t, err, matrix.LimitExceeded, "more than there may be")
	if n := len(h.identity.Requests()); n != asked {
		t.Errorf("the identity server was asked %d times", n-asked)
	}
	matrixtest.WantCode(t, h.Service.Invite(other, alice, room, "", h.email("x@example.com")), matrix.LimitExceeded, "another mail to one address")
	if n := len(h.identity.Invites()); n != mails {
		t.Errorf("%d more mails were sent", n-mails)
	}
}

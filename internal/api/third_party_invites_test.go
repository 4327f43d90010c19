package api

import (
	"context"
	"encoding/json"
	"testing"

	"homeserver/internal/auth/identity/identitytest"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/rooms"
)

// withIdentity runs a server, and an identity server that it may ask.
func withIdentity(t *testing.T) (alice, bob *matrixtest.Client, identity *identitytest.Server) {
	t.Helper()
	identity = identitytest.New(t)
	opts := services(t)
	opts.Invitations = thirdpartyinvite.New(opts.Journal, opts.Rooms, identity.Client(), nil)
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	return anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass"), identity
}

func addressOf(identity *identitytest.Server, address string) map[string]any {
	return map[string]any{
		"id_server": identity.Name(), "id_access_token": identitytest.Token, "medium": "email", "address": address,
	}
}

func TestInviteByAddress(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	identity.Bind("email", "bob@example.com", bob.UserID)
	room := alice.CreateRoom(nil)
	if got := change(alice, room, "invite", addressOf(identity, "bob@example.com")).OK().At().(map[string]any); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	stands(alice, room, bob.UserID, "invite")
	change(bob, room, "join", nil).OK()
	change(alice, room, "invite", addressOf(identity, "bob@example.com")).Refused(403, "M_FORBIDDEN")
	incomplete := addressOf(identity, "x@example.com")
	delete(incomplete, "id_access_token")
	change(alice, room, "invite", incomplete).Refused(400, "M_MISSING_PARAM")
	change(alice, room, "invite", `{}`).Refused(400, "M_MISSING_PARAM")
	change(alice, room, "invite", `{"medium":1}`).Refused(400, "M_BAD_JSON")
	both := addressOf(identity, "x@example.com")
	both["user_id"] = "@carol:localhost"
	change(alice, room, "invite", both).OK()
	stands(alice, room, "@carol:localhost", "invite")
}

func TestJoinByAnInvitationToAnAddress(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	room := alice.CreateRoom(map[string]any{"invite_3pid": []any{addressOf(identity, "new@example.com")}, "room_alias_name": "party"})
	change(bob, room, "join", nil).Refused(403, "M_FORBIDDEN")
	change(bob, room, "join", `{"third_party_signed":{}}`).Refused(403, "M_FORBIDDEN")
	forged := identity.SignByAnother("token-0", bob.UserID, alice.UserID)
	change(bob, room, "join", map[string]any{"third_party_signed": forged}).Refused(403, "M_FORBIDDEN")
	signed, err := json.MarshalIndent(map[string]any{"third_party_signed": identity.Sign("token-0", bob.UserID, alice.UserID)}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if got := bob.Do("POST", "/join/%23party:localhost", signed).OK().String("room_id"); got != room {
		t.Errorf("room_id %q", got)
	}
	stands(alice, room, bob.UserID, "join")
	change(bob, room, "join", signed).OK()
}

// bound returns the request by which an identity server reports an invited address.
func bound(userID, sender, room string, signed any) map[string]any {
	return map[string]any{"medium": "email", "address": "new@example.com", "mxid": userID, "invites": []any{map[string]any{
		"medium": "email", "address": "new@example.com", "mxid": userID, "room_id": room, "sender": sender, "signed": signed,
	}}}
}

func TestInvitationOfAnUnknownAddressBecomesReal(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"PUT", "POST"} {
		alice, bob, identity := withIdentity(t)
		room := alice.CreateRoom(map[string]any{"invite_3pid": []any{addressOf(identity, "new@example.com")}})
		server := *bob
		server.Token, server.Prefix = "", "/_matrix/federation/v1"
		told := bound(bob.UserID, alice.UserID, room, identity.Sign("token-0", bob.UserID, alice.UserID))
		pretty, err := json.MarshalIndent(told, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if got := server.Do(method, "/3pid/onbind", pretty).OK().At().(map[string]any); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		invited := bob.Sync("")
		if invited.At("rooms", "invite", room) == nil {
			t.Errorf("%s: bob is not invited: %s", method, invited.Body)
		}
		server.Do(method, "/3pid/onbind", told).OK() // once more changes nothing
		bob.Join(room)
		server.Do(method, "/3pid/onbind", told).OK()
		stands(alice, room, bob.UserID, "join")
	}
}

func TestStrangersCannotRedeemInvitations(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	room := alice.CreateRoom(map[string]any{"invite_3pid": []any{addressOf(identity, "new@example.com")}})
	server := *bob
	server.Token, server.Prefix = "", "/_matrix/federation/v1"
	good := identity.Sign("token-0", bob.UserID, alice.UserID)
	asked := len(identity.Requests())
	for name, told := range map[string]map[string]any{
		"another key":    bound(bob.UserID, alice.UserID, room, identity.SignByAnother("token-0", bob.UserID, alice.UserID)),
		"another user":   bound("@eve:localhost", alice.UserID, room, good),
		"another token":  bound(bob.UserID, alice.UserID, room, identity.Sign("token-1", bob.UserID, alice.UserID)),
		"another sender": bound(bob.UserID, bob.UserID, room, good),
		"another room":   bound(bob.UserID, alice.UserID, "!other:localhost", good),
		"no signature":   bound(bob.UserID, alice.UserID, room, map[string]any{"mxid": bob.UserID, "token": "token-0"}),
		"no object":      bound(bob.UserID, alice.UserID, room, []any{}),
		"another server": bound("@bob:elsewhere.example", alice.UserID, room, identity.Sign("token-0", "@bob:elsewhere.example", alice.UserID)),
	} {
		if answer := server.Do("PUT", "/3pid/onbind", told); answer.Status != 403 || answer.Errcode() != "M_FORBIDDEN" {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	if bob.Sync("").At("rooms", "invite", room) != nil {
		t.Error("bob is invited")
	}
	if n := len(identity.Requests()); n != asked {
		t.Errorf("strangers made the server ask the identity server %d times", n-asked)
	}
	server.Do("PUT", "/3pid/onbind", `{}`).Refused(400, "M_MISSING_PARAM")
	server.Do("PUT", "/3pid/onbind", `{"medium":"email","address":"a@example.com","mxid":"bob","invites":[]}`).Refused(400, "M_INVALID_PARAM")
	server.Do("PUT", "/3pid/onbind", `{"medium":"email","address":"a@example.com","mxid":"@bob:localhost","invites":{}}`).Refused(400, "M_BAD_JSON")
	server.Do("PUT", "/3pid/onbind", bound(bob.UserID, alice.UserID, room, 1.5)).Refused(403, "M_FORBIDDEN")
	many := bound(bob.UserID, alice.UserID, room, good)
	many["invites"] = make([]map[string]any, 51)
	server.Do("PUT", "/3pid/onbind", many).Refused(400, "M_INVALID_PARAM")
	identity.Revoke()
	server.Do("PUT", "/3pid/onbind", bound(bob.UserID, alice.UserID, room, good)).Refused(403, "M_FORBIDDEN")
}

// A member who may not invite users may not invite addresses either.
func TestInvitesOfAddressesAreScreened(t *testing.T) {
	t.Parallel()
	identity := identitytest.New(t)
	opts := services(t)
	opts.Invitations = thirdpartyinvite.New(opts.Journal, opts.Rooms, identity.Client(), nil)
	opts.Rooms.ScreenBy(func(_ context.Context, acts []rooms.Act) ([]error, error) {
		refusals := make([]error, len(acts))
		for i, act := range acts {
			if act.Kind == rooms.ToInvite && act.UserID == "@alice:localhost" {
				refusals[i] = matrix.Errorf(matrix.Forbidden, "no invites by alice")
			}
		}
		return refusals, nil
	})
	anyone := matrixtest.New(t, newAPI(t, opts).Handler())
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat", "power_level_content_override": map[string]any{"state_default": 0}})
	bob.Join(room)
	change(alice, room, "invite", addressOf(identity, "new@example.com")).Refused(403, "M_FORBIDDEN")
	third := map[string]any{"display_name": "n…", "key_validity_url": "https://id.example.org/key", "public_key": "AAAA"}
	alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.third_party_invite", "token"), third).Refused(403, "M_FORBIDDEN")
	change(bob, room, "invite", addressOf(identity, "new@example.com")).OK()
}

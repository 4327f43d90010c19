package api

import (
	"fmt"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

const (
	invitePermission = "m.invite_permission_config"
	inviteFilter     = "org.matrix.msc4155.invite_permission_config"
)

// setData sets account data of a user.
func setData(c *matrixtest.Client, typ, content string) {
	c.Do("PUT", dataPath(c.UserID, "", typ), content).OK()
}

// invited returns the rooms that an initial sync shows invites to.
func invited(c *matrixtest.Client) map[string]any {
	rooms, _ := c.Do("GET", "/sync", nil).OK().At("rooms").(map[string]any)
	invites, _ := rooms["invite"].(map[string]any)
	return invites
}

func TestBlockedInvitesAreRefusedWhereverTheyAreMade(t *testing.T) {
	t.Parallel()
	alice, bob, _ := shared(t)
	room, before := alice.CreateRoom(nil), alice.CreateRoom(map[string]any{"invite": []string{bob.UserID}})
	if invited(bob)[before] == nil {
		t.Fatal("the invite is not shown")
	}
	since := bob.Sync("")
	setData(bob, invitePermission, `{"default_action":"block"}`)
	invite := map[string]any{"user_id": bob.UserID}
	for name, refused := range map[string]*matrixtest.Response{
		"invite":        change(alice, room, "invite", invite),
		"createRoom":    alice.Do("POST", "/createRoom", map[string]any{"invite": []string{"@nobody:localhost", bob.UserID}}),
		"initial_state": alice.Do("POST", "/createRoom", map[string]any{"initial_state": []any{map[string]any{"type": "m.room.member", "state_key": bob.UserID, "content": map[string]any{"membership": "invite"}}}}),
		"state":         alice.Do("PUT", matrixtest.Path("rooms", room, "state", "m.room.member", bob.UserID), `{"membership":"invite"}`),
		"again":         change(alice, before, "invite", map[string]any{"user_id": bob.UserID, "reason": "please"}),
	} {
		t.Log(name)
		refused.Refused(403, "M_INVITE_BLOCKED")
	}
	if got := invited(bob); len(got) != 0 {
		t.Errorf("invites from before are shown: %v", got)
	}
	stands(alice, before, bob.UserID, "invite")
	bob.Sync(since.String("next_batch"))
	// Those who may not invite anyway learn nothing of bob.
	carol := alice.As(t).Register("carol", "wordpass")
	change(carol, room, "invite", invite).Refused(403, "M_FORBIDDEN")
	for _, content := range []string{`{}`, `{"default_action":"allow"}`, `{"default_action":["block"]}`, `{"default_action":null}`} {
		setData(bob, invitePermission, content)
		change(alice, alice.CreateRoom(nil), "invite", invite).OK()
	}
	if got := invited(bob); got[before] == nil || len(got) != 5 {
		t.Errorf("when bob wants invites again %d are shown", len(got))
	}
	change(bob, before, "join", nil).OK()
}

func TestInvitesByUsersAndServers(t *testing.T) {
	t.Parallel()
	alice, bob, _ := shared(t)
	invite := map[string]any{"user_id": bob.UserID}
	for _, test := range []struct{ content, want string }{
		{`{}`, "shown"},
		{`{"blocked_servers":["*"]}`, "refused"},
		{`{"blocked_servers":["LOCAL????"]}`, "refused"},
		{`{"blocked_servers":["other.org"]}`, "shown"},
		{`{"blocked_users":["@ALICE:localhost"]}`, "shown"},
		{`{"blocked_users":["@al*"]}`, "refused"},
		{`{"blocked_servers":["*"],"allowed_users":["@alice:localhost"]}`, "shown"},
		{`{"blocked_servers":["*"],"allowed_servers":["localhost"]}`, "shown"},
		{`{"ignored_users":["@alice:*"]}`, "hidden"},
		{`{"ignored_servers":["localhost"],"blocked_users":["@alice:localhost"]}`, "hidden"},
		{`{"ignored_servers":["localhost"],"allowed_users":["@alice:localhost"]}`, "shown"},
		{`{"blocked_users":null,"ignored_users":"*","blocked_servers":[1,{},"other.org"]}`, "shown"},
	} {
		setData(bob, inviteFilter, test.content)
		room := alice.CreateRoom(nil)
		answer := change(alice, room, "invite", invite)
		if test.want == "refused" {
			answer.Refused(403, "M_INVITE_BLOCKED")
			continue
		}
		answer.OK()
		if shown := invited(bob)[room] != nil; shown != (test.want == "shown") {
			t.Errorf("%s: shown: %v, want %s", test.content, shown, test.want)
		}
		notified := fmt.Sprint(bob.Do("GET", "/notifications", nil).OK().At("notifications"))
		if shown := strings.Contains(notified, room); shown != (test.want == "shown") {
			t.Errorf("%s: notified of: %v, want %s", test.content, shown, test.want)
		}
	}
	// What the specification has now counts beside the lists.
	setData(bob, inviteFilter, `{"allowed_users":["@alice:localhost"]}`)
	setData(bob, invitePermission, `{"default_action":"block"}`)
	change(alice, alice.CreateRoom(nil), "invite", invite).Refused(403, "M_INVITE_BLOCKED")
}

func TestInvitePermissionOfOwnersOfAddresses(t *testing.T) {
	t.Parallel()
	alice, bob, identity := withIdentity(t)
	room := alice.CreateRoom(map[string]any{"invite_3pid": []any{addressOf(identity, "new@example.com")}})
	setData(bob, invitePermission, `{"default_action":"block"}`)
	identity.Bind("email", "bob@example.com", bob.UserID)
	change(alice, room, "invite", addressOf(identity, "bob@example.com")).Refused(403, "M_INVITE_BLOCKED")
	alice.Do("POST", "/createRoom", map[string]any{"invite_3pid": []any{addressOf(identity, "bob@example.com")}}).Refused(403, "M_INVITE_BLOCKED")
	bound := bound(bob.UserID, alice.UserID, room, identity.Sign("token-0", bob.UserID, alice.UserID))
	alice.Do("PUT", "/_matrix/federation/v1/3pid/onbind", bound).Refused(403, "M_INVITE_BLOCKED")
	// bob may still accept by himself.
	change(bob, room, "join", map[string]any{"third_party_signed": identity.Sign("token-0", bob.UserID, alice.UserID)}).OK()
	stands(alice, room, bob.UserID, "join")
}

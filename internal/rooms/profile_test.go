package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

// telling is a house in which rooms are told of new profiles, with bob's account.
func telling(t *testing.T) (*house, matrix.Session) {
	t.Helper()
	h := newHouse(t)
	h.profiles.OnChange(h.UpdateProfile)
	return h, h.account("bob")
}

func TestNewNameIsToldToAllJoinedRooms(t *testing.T) {
	h, who := telling(t)
	var joined []string
	for range 20 {
		joined = append(joined, h.public(bob))
	}
	left, invited, banned := h.public(bob), h.withRule("invite"), h.public(bob)
	h.leave(bob, left)
	h.invite(alice, invited, bob)
	h.ok(h.Ban(t.Context(), alice, banned, bob, ""))
	h.profile(who, "displayname", "Bob")
	h.profile(who, "avatar_url", "mxc://localhost/bob")
	for _, room := range joined {
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob","avatar_url":"mxc://localhost/bob"}`)
		checkChain(t, h, room)
	}
	h.wantContent(alice, left, event.TypeMember, bob, `{"membership":"leave"}`)
	h.wantContent(alice, invited, event.TypeMember, bob, `{"membership":"invite"}`)
	h.wantContent(alice, banned, event.TypeMember, bob, `{"membership":"ban"}`)
	h.profile(who, "displayname", "")
	h.wantContent(alice, joined[0], event.TypeMember, bob, `{"membership":"join","avatar_url":"mxc://localhost/bob"}`)
}

// A crash between the commit of a new name and the last room's lost it for that room.
func TestNewNameReachesAllRoomsAfterACrash(t *testing.T) {
	h := newHouse(t)
	who := h.account("bob")
	told, untold := h.public(bob), h.public(bob)
	first := true
	h.profiles.OnChange(func(ctx context.Context, userID string, p profile.Profile) error {
		if first {
			first = false
			return errors.New("the process dies")
		}
		return h.UpdateProfile(ctx, userID, p)
	})
	if err := h.profiles.Set(t.Context(), who, bob, "displayname", raw("Bob")); err == nil {
		t.Fatal("the process lives")
	}
	h.set(bob, told, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	before := len(h.history(alice, told))
	h.profiles.Start(t.Context(), slog.New(slog.DiscardHandler))
	t.Cleanup(h.profiles.Stop)
	const want = `{"membership":"join","displayname":"Bob"}`
	for deadline := time.Now().Add(time.Minute); !sameJSON(h.content(alice, untold, event.TypeMember, bob), want); {
		if time.Now().After(deadline) {
			t.Fatal("a room does not get the new name")
		}
		<-time.After(10 * time.Millisecond)
	}
	if n := len(h.history(alice, told)) - before; n != 0 {
		t.Errorf("a room is told %d times more", n)
	}
}

func TestSameNameAgainAddsNothing(t *testing.T) {
	h, who := telling(t)
	h.profile(who, "displayname", "Bob")
	room := h.public(bob)
	count := len(h.history(alice, room))
	h.profile(who, "displayname", "Bob")
	h.profile(who, "m.tz", "Europe/Berlin") // nothing that rooms show
	if now := len(h.history(alice, room)); now != count {
		t.Errorf("%d events were added", now-count)
	}
}

func TestNewNameKeepsTheRestOfTheMemberEvent(t *testing.T) {
	h, who := telling(t)
	room := h.public()
	h.set(bob, room, event.TypeMember, bob, `{"membership":"join","org.example":[1],"reason":"hello","is_direct":true}`)
	h.profile(who, "displayname", "Bob")
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","org.example":[1],"is_direct":true,"displayname":"Bob"}`)
}

func TestNewNameInARestrictedRoomNeedsNobodysWord(t *testing.T) {
	h, who := telling(t)
	hall := h.public(bob)
	room := h.restricted(11, "restricted", hall)
	h.join(bob, room)
	h.leave(bob, hall)
	h.profile(who, "displayname", "Bob")
	h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
}

func TestOneRoomThatRefusesDoesNotKeepTheNameFromTheOthers(t *testing.T) {
	h, who := telling(t)
	first, closed, last := h.public(bob), h.public(bob), h.public(bob)
	h.set(alice, closed, event.TypeJoinRules, "", `{"join_rule":"private"}`)
	h.profile(who, "displayname", "Bob")
	for _, room := range []string{first, last} {
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	}
	h.wantContent(alice, closed, event.TypeMember, bob, `{"membership":"join"}`)
}

func TestManyNewNamesAtOnceEndWithTheLast(t *testing.T) {
	h, who := telling(t)
	var joined []string
	for range 6 {
		joined = append(joined, h.public(bob))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { h.profile(who, "displayname", fmt.Sprint("Bob ", i)) })
	}
	wg.Wait()
	p, err := h.profiles.Get(t.Context(), bob)
	h.ok(err)
	for _, room := range joined {
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"`+p.DisplayName+`"}`)
	}
}

func TestJoiningWhileTheNameChangesShowsTheNewOne(t *testing.T) {
	h, who := telling(t)
	for i := range 25 {
		room := h.public()
		name := fmt.Sprint("Bob ", i)
		var wg sync.WaitGroup
		wg.Go(func() { h.profile(who, "displayname", name) })
		wg.Go(func() { h.join(bob, room) })
		wg.Wait()
		h.wantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"`+name+`"}`)
	}
}

func TestLeavingWhileTheNameChangesStaysLeft(t *testing.T) {
	h, who := telling(t)
	for i := range 15 {
		room := h.public(bob)
		var wg sync.WaitGroup
		wg.Go(func() { h.profile(who, "displayname", fmt.Sprint("Bob ", i)) })
		wg.Go(func() { h.leave(bob, room) })
		wg.Wait()
		h.wantMembership(room, bob, "leave")
	}
}

func TestMembershipsShowTheProfileOfTheMoment(t *testing.T) {
	h := newHouse(t)
	who := h.account("bob")
	h.profile(who, "displayname", `"B" <o> & b`)
	h.profile(who, "avatar_url", "mxc://localhost/bob")
	want := func(membership string) string {
		return string(raw(map[string]string{"membership": membership, "displayname": `"B" <o> & b`, "avatar_url": "mxc://localhost/bob"}))
	}
	room := h.public(bob)
	h.wantContent(alice, room, event.TypeMember, bob, want("join"))
	room = h.withRule("invite")
	h.invite(alice, room, bob)
	h.wantContent(alice, room, event.TypeMember, bob, want("invite"))
	h.set(alice, room, event.TypeMember, bob, `{"membership":"invite"}`)
	h.wantContent(alice, room, event.TypeMember, bob, want("invite"))
	room = h.create(bob, rooms.CreateRequest{Invite: []string{alice}})
	h.join(alice, room)
	h.wantContent(alice, room, event.TypeMember, bob, want("join"))
}

func TestUserWithoutAccountHasNoName(t *testing.T) {
	h := newHouse(t)
	room := h.public()
	h.invite(alice, room, "@nobody:localhost")
	h.wantContent(alice, room, event.TypeMember, "@nobody:localhost", `{"membership":"invite"}`)
	h.ok(h.UpdateProfile(t.Context(), "@nobody:localhost", profile.Profile{DisplayName: "N"}))
	h.wantContent(alice, room, event.TypeMember, "@nobody:localhost", `{"membership":"invite"}`)
}

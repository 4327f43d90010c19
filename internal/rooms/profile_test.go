package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/roomstest"
)

// telling returns a harness in which rooms learn of new profiles, with bob's account.
func telling(t *testing.T) (*env, matrix.Session) {
	t.Helper()
	h := newEnv(t)
	h.Profiles.OnChange(h.Rooms.UpdateProfile)
	return h, h.Account("bob")
}

func TestNewNameIsToldToAllJoinedRooms(t *testing.T) {
	h, who := telling(t)
	var joined []string
	for range 20 {
		joined = append(joined, h.Public(bob))
	}
	left, invited, banned := h.Public(bob), h.withRule("invite"), h.Public(bob)
	h.Leave(bob, left)
	h.Invite(alice, invited, bob)
	h.OK(h.Rooms.Ban(t.Context(), alice, banned, bob, ""))
	h.SetProfile(who, "displayname", "Bob")
	h.SetProfile(who, "avatar_url", "mxc://localhost/bob")
	for _, room := range joined {
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob","avatar_url":"mxc://localhost/bob"}`)
		checkChain(t, h, room)
	}
	h.WantContent(alice, left, event.TypeMember, bob, `{"membership":"leave"}`)
	h.WantContent(alice, invited, event.TypeMember, bob, `{"membership":"invite"}`)
	h.WantContent(alice, banned, event.TypeMember, bob, `{"membership":"ban"}`)
	h.SetProfile(who, "displayname", "")
	h.WantContent(alice, joined[0], event.TypeMember, bob, `{"membership":"join","avatar_url":"mxc://localhost/bob"}`)
}

// A crash between the commit of a new name and the last room's lost it for that room.
func TestNewNameReachesAllRoomsAfterACrash(t *testing.T) {
	matrixtest.Long(t)
	h := newEnv(t)
	who := h.Account("bob")
	told, untold := h.Public(bob), h.Public(bob)
	first, revived := true, make(chan struct{})
	h.Profiles.OnChange(func(ctx context.Context, userID string, p profile.Profile) error {
		if first {
			first = false
			return errors.New("the process dies")
		}
		<-revived
		return h.Rooms.UpdateProfile(ctx, userID, p)
	})
	if err := h.Profiles.Set(t.Context(), who, bob, "displayname", roomstest.Raw("Bob")); err == nil {
		t.Fatal("the process lives")
	}
	h.SetState(bob, told, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	before := len(h.History(alice, told))
	close(revived)
	const want = `{"membership":"join","displayname":"Bob"}`
	matrixtest.Until(t, "the room gets the new name", func() bool {
		return roomstest.SameJSON(h.Content(alice, untold, event.TypeMember, bob), want)
	})
	if n := len(h.History(alice, told)) - before; n != 0 {
		t.Errorf("a room is told %d times more", n)
	}
}

func TestSameNameAgainAddsNothing(t *testing.T) {
	h, who := telling(t)
	h.SetProfile(who, "displayname", "Bob")
	room := h.Public(bob)
	count := len(h.History(alice, room))
	h.SetProfile(who, "displayname", "Bob")
	h.SetProfile(who, "m.tz", "Europe/Berlin") // nothing that rooms show
	if now := len(h.History(alice, room)); now != count {
		t.Errorf("%d events were added", now-count)
	}
}

func TestNewNameKeepsTheRestOfTheMemberEvent(t *testing.T) {
	h, who := telling(t)
	room := h.Public()
	h.SetState(bob, room, event.TypeMember, bob, `{"membership":"join","org.example":[1],"reason":"hello","is_direct":true}`)
	h.SetProfile(who, "displayname", "Bob")
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","org.example":[1],"is_direct":true,"displayname":"Bob"}`)
}

func TestNewNameInARestrictedRoomNeedsNobodysWord(t *testing.T) {
	h, who := telling(t)
	hall := h.Public(bob)
	room := h.restricted(11, "restricted", hall)
	h.Join(bob, room)
	h.Leave(bob, hall)
	h.SetProfile(who, "displayname", "Bob")
	h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
}

func TestOneRoomThatRefusesDoesNotKeepTheNameFromTheOthers(t *testing.T) {
	h, who := telling(t)
	first, closed, last := h.Public(bob), h.Public(bob), h.Public(bob)
	h.SetState(alice, closed, event.TypeJoinRules, "", `{"join_rule":"private"}`)
	h.SetProfile(who, "displayname", "Bob")
	for _, room := range []string{first, last} {
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"Bob"}`)
	}
	h.WantContent(alice, closed, event.TypeMember, bob, `{"membership":"join"}`)
}

func TestManyNewNamesAtOnceEndWithTheLast(t *testing.T) {
	h, who := telling(t)
	var joined []string
	for range 6 {
		joined = append(joined, h.Public(bob))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { h.SetProfile(who, "displayname", fmt.Sprint("Bob ", i)) })
	}
	wg.Wait()
	p, err := h.Profiles.Get(t.Context(), bob)
	h.OK(err)
	for _, room := range joined {
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"`+p.DisplayName+`"}`)
	}
}

func TestJoiningWhileTheNameChangesShowsTheNewOne(t *testing.T) {
	h, who := telling(t)
	for i := range 25 {
		room := h.Public()
		name := fmt.Sprint("Bob ", i)
		var wg sync.WaitGroup
		wg.Go(func() { h.SetProfile(who, "displayname", name) })
		wg.Go(func() { h.Join(bob, room) })
		wg.Wait()
		h.WantContent(alice, room, event.TypeMember, bob, `{"membership":"join","displayname":"`+name+`"}`)
	}
}

func TestLeavingWhileTheNameChangesStaysLeft(t *testing.T) {
	h, who := telling(t)
	for i := range 15 {
		room := h.Public(bob)
		var wg sync.WaitGroup
		wg.Go(func() { h.SetProfile(who, "displayname", fmt.Sprint("Bob ", i)) })
		wg.Go(func() { h.Leave(bob, room) })
		wg.Wait()
		h.WantMembership(room, bob, "leave")
	}
}

func TestMembershipsShowTheProfileOfTheMoment(t *testing.T) {
	h := newEnv(t)
	who := h.Account("bob")
	h.SetProfile(who, "displayname", `"B" <o> & b`)
	h.SetProfile(who, "avatar_url", "mxc://localhost/bob")
	want := func(membership string) string {
		return string(roomstest.Raw(map[string]string{"membership": membership, "displayname": `"B" <o> & b`, "avatar_url": "mxc://localhost/bob"}))
	}
	room := h.Public(bob)
	h.WantContent(alice, room, event.TypeMember, bob, want("join"))
	room = h.withRule("invite")
	h.Invite(alice, room, bob)
	h.WantContent(alice, room, event.TypeMember, bob, want("invite"))
	h.SetState(alice, room, event.TypeMember, bob, `{"membership":"invite"}`)
	h.WantContent(alice, room, event.TypeMember, bob, want("invite"))
	room = h.Create(bob, rooms.CreateRequest{Invite: []string{alice}})
	h.Join(alice, room)
	h.WantContent(alice, room, event.TypeMember, bob, want("join"))
}

func TestUserWithoutAccountHasNoName(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.Invite(alice, room, "@nobody:localhost")
	h.WantContent(alice, room, event.TypeMember, "@nobody:localhost", `{"membership":"invite"}`)
	h.OK(h.Rooms.UpdateProfile(t.Context(), "@nobody:localhost", profile.Profile{DisplayName: "N"}))
	h.WantContent(alice, room, event.TypeMember, "@nobody:localhost", `{"membership":"invite"}`)
}

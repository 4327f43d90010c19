package presence

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
)

func TestPollingMakesOnline(t *testing.T) {
	h := newEnv(t)
	h.want(alice, `{"presence":"offline"}`)
	done := h.poll(alice, "PHONE", "")
	h.want(alice, `{"currently_active":true,"last_active_ago":0,"presence":"online"}`)
	done()
	h.pass(10 * time.Second)
	h.want(alice, `{"currently_active":true,"last_active_ago":10000,"presence":"online"}`)
	h.pass(20 * time.Second)
	h.want(alice, `{"last_active_ago":30000,"presence":"offline"}`)
}

func TestWhoWaitsForNewsStays(t *testing.T) {
	h := newEnv(t)
	one, two := h.poll(alice, "PHONE", Online), h.poll(alice, "PHONE", Online)
	h.pass(2 * time.Minute)
	one()
	h.want(alice, `{"currently_active":false,"last_active_ago":120000,"presence":"online"}`)
	h.pass(2 * time.Minute)
	h.wantPresence(alice, Online)
	two()
	h.pass(29 * time.Second)
	h.wantPresence(alice, Online)
	h.pass(time.Second)
	h.wantPresence(alice, Offline)
}

func TestPollingUnseen(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	if h.wakes(journal.Topic{User: alice}, func() { h.poll(alice, "PHONE", Offline)() }) {
		t.Error("somebody is told")
	}
	h.wantPresence(alice, Offline)
	// Nor does it hide who is there with another device.
	h.poll(bob, "PHONE", "")
	h.poll(bob, "LAPTOP", Offline)
	h.wantPresence(bob, Online)
	if got := h.news(alice, 0, room); got != "bob online" {
		t.Errorf("alice is told %q", got)
	}
}

func TestDeviceThatIsIdle(t *testing.T) {
	h := newEnv(t)
	h.poll(alice, "PHONE", Unavailable)()
	h.want(alice, `{"presence":"unavailable"}`)
	h.poll(alice, "PHONE", Online)()
	h.wantPresence(alice, Online)
	h.poll(alice, "PHONE", Unavailable)()
	h.wantPresence(alice, Unavailable)
	h.poll(alice, "PHONE", "")()
	h.wantPresence(alice, Online)
	// Of two devices, the one in use counts.
	done := h.poll(alice, "LAPTOP", Unavailable)
	h.wantPresence(alice, Online)
	h.pass(goneAfter) // the phone is gone
	h.wantPresence(alice, Unavailable)
	done()
	h.poll(alice, "LAPTOP", Unavailable)()
	h.pass(goneAfter)
	h.wantPresence(alice, Offline)
}

func TestWhoDoesNothingIsUnavailable(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.poll(alice, "PHONE", "")
	h.pass(idleAfter - time.Second)
	h.wantPresence(alice, Online)
	h.pass(time.Second)
	h.want(alice, `{"last_active_ago":300000,"presence":"unavailable"}`)
	h.poll(alice, "PHONE", "") // asking for news is not doing something
	h.wantPresence(alice, Unavailable)
	h.say(alice, room)
	h.want(alice, `{"currently_active":true,"last_active_ago":0,"presence":"online"}`)
	h.pass(time.Second)
	h.say(bob, room)
	h.want(alice, `{"currently_active":true,"last_active_ago":1000,"presence":"online"}`)
}

func TestActivityOfWhoIsOfflineIsNotTold(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(alice, Offline, "")
	before := h.Ticks.Now()
	h.say(alice, room)
	h.pass(time.Minute)
	h.say(alice, room)
	h.want(alice, `{"last_active_ago":0,"presence":"offline"}`)
	if h.Ticks.Now() != before {
		t.Error("the others are told of it")
	}
}

func TestStatusIsSet(t *testing.T) {
	h := newEnv(t)
	h.set(alice, Online, "in a <meeting>")
	h.want(alice, `{"currently_active":true,"last_active_ago":0,"presence":"online","status_msg":"in a <meeting>"}`)
	h.pass(time.Second)
	h.set(alice, Unavailable, "away")
	h.want(alice, `{"last_active_ago":1000,"presence":"unavailable","status_msg":"away"}`)
	h.poll(alice, "PHONE", "")
	h.wantPresence(alice, Unavailable) // as was said
	h.set(alice, Offline, "")
	h.want(alice, `{"last_active_ago":1000,"presence":"offline"}`)
	h.poll(alice, "PHONE", "")
	h.wantPresence(alice, Online)
	for _, presence := range []string{"", "ONLINE", "busy"} {
		if err := h.Set(t.Context(), alice, presence, ""); !matrix.IsCode(err, matrix.InvalidParam) {
			t.Errorf("presence %q: %v", presence, err)
		}
	}
	if err := h.Set(t.Context(), alice, Online, strings.Repeat("x", 1001)); !matrix.IsCode(err, matrix.InvalidParam) {
		t.Errorf("a long message: %v", err)
	}
	h.set(alice, Online, strings.Repeat("x", 1000))
}

func TestSettingWithoutPollingLastsAWhile(t *testing.T) {
	h := newEnv(t)
	h.set(alice, Online, "here")
	h.pass(goneAfter - time.Second)
	h.wantPresence(alice, Online)
	h.pass(time.Second)
	h.want(alice, `{"last_active_ago":30000,"presence":"offline","status_msg":"here"}`)
}

func TestWhatTheUserDoesIsMoreThanWhatADeviceSays(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	for _, do := range []func(){func() { h.say(alice, room) }, func() { h.set(alice, Online, "") }} {
		h.poll(alice, "PHONE", Unavailable)
		h.wantPresence(alice, Unavailable)
		do()
		h.wantPresence(alice, Online)
		h.pass(watchEvery)
		h.wantPresence(alice, Online)
	}
}

func TestWhoMaySeePresence(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.set(alice, Online, "")
	for _, test := range []struct {
		asker, user string
		want        matrix.Code
	}{
		{bob, alice, ""}, {alice, alice, ""}, {alice, bob, ""},
		{carol, alice, matrix.Forbidden}, {alice, carol, matrix.Forbidden},
		{alice, "@nobody:localhost", matrix.NotFound}, {carol, "@nobody:elsewhere.org", matrix.NotFound},
		{alice, "nonsense", matrix.InvalidParam},
	} {
		if _, err := h.Get(t.Context(), test.asker, test.user); test.want == "" && err != nil || test.want != "" && !matrix.IsCode(err, test.want) {
			t.Errorf("%s asks for %s: %v, want %s", test.asker, test.user, err, test.want)
		}
	}
	h.Join(carol, room)
	if got := h.show(carol, alice); !strings.Contains(got, "online") {
		t.Errorf("carol sees %s", got)
	}
	h.Leave(carol, room)
	if _, err := h.Get(t.Context(), carol, alice); !matrix.IsCode(err, matrix.Forbidden) {
		t.Errorf("carol, who has left, gets %v", err)
	}
}

func TestChangesAreToldToWhoSharesARoom(t *testing.T) {
	h := newEnv(t)
	shared, other := h.Public(bob), h.Public(carol)
	nid := func(room string) journal.Topic {
		n, err := h.Rooms.Timeline.Number(t.Context(), room)
		h.OK(err)
		return journal.Topic{Room: n}
	}
	online := func() { h.set(bob, Online, fmt.Sprint(h.Ticks.Now())) }
	for topic, want := range map[journal.Topic]bool{nid(shared): true, {User: bob}: true, nid(other): false, {User: carol}: false} {
		if got := h.wakes(topic, online); got != want {
			t.Errorf("%v is woken: %v", topic, got)
		}
	}
	for _, test := range []struct{ reader, room, want string }{
		{alice, shared, "bob online"}, {carol, other, ""}, {bob, shared, "bob online"}, {bob, other, "bob online"},
	} {
		if got := h.news(test.reader, 0, test.room); got != test.want {
			t.Errorf("%s hears %q, want %q", test.reader, got, test.want)
		}
	}
	h.Leave(bob, shared)
	if got := h.news(alice, 0, shared, other); got != "" {
		t.Errorf("of who has left alice hears %q", got)
	}
}

func TestWhatHasChangedSince(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	h.set(bob, Online, "")
	first := h.Ticks.Now()
	h.set(carol, Unavailable, "")
	second := h.Ticks.Now()
	h.set(bob, Offline, "")
	if got := h.news(alice, first, room); got != "bob offline, carol unavailable" {
		t.Errorf("since the first: %q", got)
	}
	if got := h.news(alice, second, room); got != "bob offline" {
		t.Errorf("since the second: %q", got)
	}
	if got := h.news(alice, h.Ticks.Now(), room); got != "" {
		t.Errorf("since now: %q", got)
	}
	if got := h.news(alice, 0, room); got != "carol unavailable" {
		t.Errorf("now there is %q", got)
	}
	// Rooms that are new to the reader, beside.
	fresh := h.Changed(alice, h.Ticks.Now(), h.in(), h.in(room))
	if got := names(fresh); got != "carol unavailable" {
		t.Errorf("in a new room: %q", got)
	}
	if got := names(h.Changed(alice, second, h.in(room), h.in(room))); got != "bob offline, carol unavailable" {
		t.Errorf("together: %q", got)
	}
}

// For as long as somebody is active nothing is told of it.
func TestActivityIsToldOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.poll(alice, "PHONE", "")
	before := h.Ticks.Now()
	for range 5 {
		h.pass(30 * time.Second)
		h.poll(alice, "PHONE", "")
		h.say(alice, room)
	}
	if h.Ticks.Now() != before {
		t.Error("the others are told again and again")
	}
	h.pass(activeFor)
	if got := h.news(bob, before, room); got != "alice online" {
		t.Errorf("that alice is not active any more is told as %q", got)
	}
	before = h.Ticks.Now()
	h.say(alice, room)
	h.say(alice, room)
	if h.Ticks.Now() != before+1 {
		t.Errorf("that alice is active again is told %d times", h.Ticks.Now()-before)
	}
}

// The members of a room get the presence of a user who joins.
func TestWhoJoinsIsToldOf(t *testing.T) {
	h := newEnv(t)
	room := h.Public()
	h.set(bob, Online, "")
	before := h.Ticks.Now()
	if got := h.news(alice, 0, room); got != "" {
		t.Errorf("before: %q", got)
	}
	h.Join(bob, room)
	if got := h.news(alice, before, room); got != "bob online" {
		t.Errorf("after: %q", got)
	}
	before = h.Ticks.Now()
	h.OK(h.Rooms.UpdateProfile(t.Context(), bob, profile.Profile{DisplayName: "Bob"}))
	h.Join(carol, room) // is offline
	if h.Ticks.Now() != before {
		t.Error("what is not new is told")
	}
}

func TestProfileIsShown(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.profile(alice, "displayname", "Alice")
	h.set(alice, Online, "")
	before := h.Ticks.Now()
	h.profile(alice, "avatar_url", "mxc://localhost/a")
	list := h.Changed(bob, before, h.in(room), nil)
	want := `{"content":{"avatar_url":"mxc://localhost/a","currently_active":true,"displayname":"Alice","last_active_ago":0,"presence":"online"},` +
		`"sender":"@alice:localhost","type":"m.presence"}`
	if len(list) != 1 || string(list[0].AppendJSON(nil, h.Now())) != want {
		t.Errorf("the others hear %v, want %s", list, want)
	}
	if got := string(list[0].AppendOldJSON(nil, h.Now())); !strings.Contains(got, `"presence":"online","user_id":"@alice:localhost"},"sender"`) {
		t.Errorf("in the old form: %s", got)
	}
	h.profile(carol, "displayname", "nobody asks")
}

func TestUsersAreBounded(t *testing.T) {
	h := newEnv(t)
	h.set(alice, Online, "")
	h.mu.Lock()
	h.Share = 1 << 20
	for i := range 2000 {
		h.touch(h.add(fmt.Sprint("@user", i)))
	}
	if n := len(h.users); n < 500 || n > 1500 || h.order.Len() != n || h.bytes > h.Share {
		t.Errorf("%d users are kept, %d in order, of %d bytes", n, h.order.Len(), h.bytes)
	}
	h.mu.Unlock()
	h.wantPresence(alice, Offline) // is not known any more
	done := h.poll(alice, "PHONE", "")
	h.wantPresence(alice, Online)
	done()
}

// What is changed by another process is read anew.
func TestRoomsOfAnotherProcess(t *testing.T) {
	h := newEnv(t)
	other := envOn(t, h.Pool, nil)
	room := h.Public()
	h.poll(bob, "PHONE", "")
	h.poll(alice, "PHONE", "")
	other.Join(bob, room)
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	if got := h.show(alice, bob); !strings.Contains(got, "online") {
		t.Errorf("alice sees %s", got)
	}
	other.Leave(bob, room)
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	if _, err := h.Get(t.Context(), alice, bob); !matrix.IsCode(err, matrix.Forbidden) {
		t.Errorf("after leaving: %v", err)
	}
}

// Rooms that somebody comes into while they are being loaded are known after.
func TestMovesDuringLoading(t *testing.T) {
	t.Parallel()
	u := &user{}
	u.forget()
	era := u.era
	u.moves(1, true)
	u.moves(2, false)
	u.fill(era, nil, profile.Profile{DisplayName: "Alice"})
	if _, in := u.rooms[1]; !in || len(u.rooms) != 1 || u.DisplayName != "Alice" {
		t.Errorf("in %v as %s", u.rooms, u.DisplayName)
	}
	u.fill(era, nil, profile.Profile{DisplayName: "late"})
	u.forget()
	u.fill(era, nil, profile.Profile{DisplayName: "outdated"})
	if u.loaded || u.DisplayName != "Alice" || len(u.rooms) != 1 {
		t.Errorf("loaded %v, in %v as %s", u.loaded, u.rooms, u.DisplayName)
	}
}

func TestPollingTakesNoSQLInTheUsualCase(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob)
	h.poll(alice, "PHONE", "")()
	h.Join(carol, room)
	h.Leave(carol, room)
	h.Public(bob)
	before := h.Pool.Stat().AcquireCount()
	h.poll(alice, "PHONE", "")()
	h.poll(alice, "PHONE", Unavailable)()
	h.Watch()
	if more := h.Pool.Stat().AcquireCount() - before; more != 0 {
		t.Errorf("the database was asked %d times", more)
	}
}

func TestWatchRunsUntilItIsStopped(t *testing.T) {
	h := newEnv(t)
	h.Start(t.Context())
	h.Stop()
}

func TestEverythingAtOnce(t *testing.T) {
	h := newEnv(t)
	room := h.Public(bob, carol)
	in := h.in(room)
	var all sync.WaitGroup
	for i, user := range []string{alice, bob, carol, alice} {
		all.Go(func() {
			for n := range 20 {
				done, err := h.Polling(t.Context(), user, fmt.Sprint("DEVICE", i), []string{"", Online, Unavailable, Offline}[n%4])
				if err != nil {
					t.Error(err)
					return
				}
				if err := h.Set(t.Context(), user, Online, fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
				h.Changed(user, 0, in, in)
				h.Watch()
				if _, err := h.Get(t.Context(), user, alice); err != nil {
					t.Error(err)
				}
				done()
			}
		})
	}
	all.Go(func() {
		for range 10 {
			h.say(bob, room)
		}
	})
	all.Wait()
	h.pass(time.Hour)
	h.pass(time.Hour)
	if got := h.news(alice, 0, room); got != "" {
		t.Errorf("in the end there are %q", got)
	}
}

package transactions

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/receipts"
)

// sendTo sends a message to all devices of a user.
func (h *env) sendTo(from matrix.Session, to, text string) {
	h.T.Helper()
	h.OK(h.toDevice.Send(h.T.Context(), from, "m.x", text, map[string]map[string]json.RawMessage{
		to: {"*": json.RawMessage(`{"n":"` + text + `"}`)},
	}))
}

// messages gathers messages to devices until one has come, as texts.
func (p *peer) messages(until string) (texts []string) {
	p.t.Helper()
	for !slices.Contains(texts, until) {
		for _, m := range p.next().ToDevice {
			texts = append(texts, fmt.Sprint(m.ToUser, " ", m.ToDevice, " ", m.Sender, " ", m.Type, " ", m.Content["n"]))
		}
	}
	return texts
}

func (h *env) waiting() (n int) {
	h.T.Helper()
	h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT count(*) FROM to_device`).Scan(&n))
	return n
}

func TestMessagesToDevicesOfAService(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true", "org.matrix.msc3202: true")}
	h := start(t, nil, services)
	from := h.Device("alice", "PHONE")
	h.Device("_irc_ghost", "GHOST")
	h.Device("ircbot", "BOT")
	h.Device("bob", "BOB")
	line := func(to, device, text string) string { return to + " " + device + " " + alice + " m.x " + text }
	h.sendTo(from, ghost, "one")
	h.sendTo(from, bob, "not for the service")
	h.sendTo(from, bot, "two")
	want := []string{line(ghost, "GHOST", "one"), line(bot, "BOT", "two")}
	if got := p.messages(want[1]); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	matrixtest.Until(t, "what was acknowledged is deleted, and bob's is not", func() bool { return h.waiting() == 1 })
	p.refuses(500, 1000)
	h.sendTo(from, ghost, "three")
	for asked := p.nextAsked(); !containsText(asked[1], "three"); asked = p.nextAsked() {
	}
	h.sending.Stop()
	h.sendTo(from, ghost, "four")
	if n := h.waiting(); n != 3 {
		t.Errorf("%d messages wait, want 3: nothing is deleted before it is acknowledged", n)
	}
	p.recovers()
	again := start(t, h.Pool, services)
	want = []string{line(ghost, "GHOST", "three"), line(ghost, "GHOST", "four")}
	if got := p.messages(want[1]); !slices.Equal(got, want) {
		t.Errorf("after a restart got %q, want %q", got, want)
	}
	matrixtest.Until(t, "what was acknowledged is deleted", func() bool { return again.waiting() == 1 })
}

// What is beyond the live window is read in the database.
func TestDataForDevicesBeyondTheLiveWindow(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := startWithWindow(t, 1, nil, []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true", "org.matrix.msc3202: true")})
	from, user := h.Device("alice", "PHONE"), h.Device("bob", "BOB")
	h.Device("_irc_ghost", "GHOST")
	room := h.Public(ghost, bob)
	h.key(user)
	p.lists(bob)
	h.sendTo(from, ghost, "one")
	p.messages(ghost + " GHOST " + alice + " m.x one")
	h.OK(h.receipts.Send(t.Context(), bob, room, receipts.Read, h.newest(bob, room), nil))
	p.ephemeral("receipt " + room + " " + h.newest(bob, room) + " m.read " + bob)
}

// A service that does not take part in encryption may have devices that ask by /sync.
func TestMessagesStayForDevicesOfOtherServices(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true")})
	from := h.Device("alice", "PHONE")
	h.Device("_irc_ghost", "GHOST")
	h.sendTo(from, ghost, "one")
	p.messages(ghost + " GHOST " + alice + " m.x one")
	room := h.Public(ghost)
	p.until(h.Send(alice, room, "after that"))
	if n := h.waiting(); n != 1 {
		t.Errorf("%d messages wait, want 1", n)
	}
}

// lists gathers the changes of device lists until a user has changed, or left.
func (p *peer) lists(user string) (changed, left []string) {
	p.t.Helper()
	for !slices.Contains(changed, user) && !slices.Contains(left, user) {
		if got := p.next().Lists; got != nil {
			changed, left = append(changed, got.Changed...), append(left, got.Left...)
		}
	}
	return changed, left
}

func TestServicesLearnOfDeviceLists(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	services := []*registration.Registration{register(t, "irc", p.url, "org.matrix.msc3202: true")}
	h := start(t, nil, services)
	stranger, user := h.Device("dave", "DAVE"), h.Device("bob", "BOB")
	room := h.Public(ghost)
	h.key(stranger)
	h.key(user)
	h.Join(bob, room)
	if changed, left := p.lists(bob); slices.Contains(changed, "@dave:localhost") || len(left) > 0 {
		t.Errorf("%q have changed, %q have left", changed, left)
	}
	h.key(user)
	p.lists(bob)
	h.sending.Stop()
	h.key(user)
	again := start(t, h.Pool, services) // which reads it in the database
	p.lists(bob)
	again.Leave(bob, room)
	if changed, left := p.lists(bob); slices.Contains(changed, bob) || !slices.Equal(left, []string{bob}) {
		t.Errorf("%q have changed, %q have left, want bob", changed, left)
	}
}

// key changes the device list of a user.
func (h *env) key(who matrix.Session) {
	h.T.Helper()
	ctx := h.T.Context()
	_, err := h.Pool.Exec(ctx, `INSERT INTO device_keys (user_id, device_id, keys, signature) VALUES ($1, $2, '{}', '') ON CONFLICT DO NOTHING`,
		who.UserID, who.DeviceID)
	h.OK(err)
	h.OK(h.Users.Sessions.RenameDevice(ctx, who.UserID, who.DeviceID, new(fmt.Sprint("name ", h.Journal.Position()))))
	h.OK(h.Journal.ShowPosted(ctx))
}

func TestServicesLearnWhichKeysAreLeft(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url, "receive_ephemeral: true", "org.matrix.msc3202: true")})
	from, own := h.Device("alice", "PHONE"), h.Device("ircbot", "BOT")
	keys := map[string]json.RawMessage{}
	for i := range 3 {
		keys[fmt.Sprintf("curve25519:%06d", i)] = json.RawMessage(fmt.Sprintf(`"%042dA"`, i))
	}
	_, err := h.keys.Upload(t.Context(), own, devicekeys.UploadRequest{OneTimeKeys: keys})
	h.OK(err)
	h.key(own)
	h.sendTo(from, bot, "one")
	got := p.next()
	for len(got.ToDevice) == 0 {
		got = p.next()
	}
	if n := got.Counts[bot]["BOT"]; n["curve25519"] != 3 || n["signed_curve25519"] != 0 {
		t.Errorf("got %s", got.raw)
	}
	if types, ok := got.Fallback[bot]["BOT"]; !ok || len(types) != 0 {
		t.Errorf("got %s", got.raw)
	}
}

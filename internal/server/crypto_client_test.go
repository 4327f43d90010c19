//go:build goolm

package server

import (
	"fmt"
	"maps"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// In TestEncryptedRoomWithARealClient two users with a real crypto client verify each other, talk in an
// encrypted room, add a device and restore keys from a backup. The server is stopped and started at each
// step, while messages are on their way.
func TestEncryptedRoomWithARealClient(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s := mustStart(t, cfg)
	for _, name := range []string{"alice", "bob"} {
		clientAt(t, s, 0).Register(name, "wordpass")
	}
	alice, bob := newDevice(t, s, "alice"), newDevice(t, s, "bob")
	devices := []*device{alice, bob}
	restart := func() {
		t.Helper()
		shutDown(t, s)
		s = mustStart(t, cfg)
		for _, d := range devices {
			d.at(s)
		}
	}
	recovery, err := alice.machine.GenerateAndVerifyWithRecoveryKey(t.Context())
	alice.ok(err)
	_, err = bob.machine.GenerateAndVerifyWithRecoveryKey(t.Context())
	bob.ok(err)
	room := encryptedRoom(alice, bob)

	verify(alice, bob)
	said := map[id.EventID]string{}
	talk := func(round string) {
		t.Helper()
		for i := range 3 {
			for _, d := range devices {
				text := fmt.Sprintf("%s, message %d of %s", round, i, d.DeviceID)
				said[d.say(room, text)] = text
			}
		}
	}
	talk("before the restart")
	restart() // keys and messages wait for those who have not asked yet
	for _, d := range devices {
		d.sync()
		d.wantRead(said)
	}

	before := maps.Clone(said)
	phone := newDevice(t, s, "alice")
	devices = append(devices, phone)
	phone.ok(phone.machine.VerifyWithRecoveryKey(t.Context(), recovery))
	for _, d := range devices {
		d.sync()
	}
	if !bob.machine.IsDeviceTrusted(t.Context(), deviceOf(bob, phone)) {
		t.Error("the new device is not trusted by the user who has verified its owner")
	}
	talk("with a new device")
	restart()
	for _, d := range devices {
		d.sync()
	}
	after := maps.Clone(said)
	maps.DeleteFunc(after, func(message id.EventID, _ string) bool { return before[message] != "" })
	phone.wantRead(after)
	alice.wantRead(said)
	bob.wantRead(said)

	if phone.history(room); len(phone.texts) != len(after) {
		t.Errorf("the new device reads %d messages without their keys", len(phone.texts)-len(after))
	}
	key := alice.backUp(room)
	restart()
	if version, err := phone.machine.DownloadAndStoreLatestKeyBackup(t.Context(), key); err != nil || version == "" {
		t.Fatalf("restore from version %q: %v", version, err)
	}
	phone.history(room)
	phone.wantRead(said)
}

// encryptedRoom makes a room of two users.
func encryptedRoom(alice, bob *device) id.RoomID {
	alice.t.Helper()
	made, err := alice.CreateRoom(alice.t.Context(), &mautrix.ReqCreateRoom{
		Invite: []id.UserID{bob.UserID},
		InitialState: []*event.Event{{
			Type:    event.StateEncryption,
			Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}},
		}},
	})
	alice.ok(err)
	_, err = bob.JoinRoomByID(bob.t.Context(), made.RoomID)
	bob.ok(err)
	alice.sync()
	bob.sync()
	return made.RoomID
}

// verify has two users verify each other by emoji, until each has signed the other's master key.
func verify(alice, bob *device) {
	t, ctx := alice.t, alice.t.Context()
	t.Helper()
	txn, err := alice.verifier.StartVerification(ctx, bob.UserID)
	alice.ok(err)
	bob.sync()
	if bob.request != txn {
		t.Fatalf("the request %q has come, want %q", bob.request, txn)
	}
	bob.ok(bob.verifier.AcceptVerification(ctx, txn))
	alice.sync()
	alice.ok(alice.verifier.StartSAS(ctx, txn))
	for _, d := range []*device{bob, alice, bob, alice} {
		d.sync()
	}
	if alice.emoji == "" || alice.emoji != bob.emoji {
		t.Fatalf("%q is shown to one, and %q to the other", alice.emoji, bob.emoji)
	}
	alice.ok(alice.verifier.ConfirmSAS(ctx, txn))
	bob.ok(bob.verifier.ConfirmSAS(ctx, txn))
	for _, d := range []*device{bob, alice, bob, alice} {
		d.sync()
	}
	if !alice.done || !bob.done {
		t.Fatalf("the verification is over for one: %v, for the other: %v", alice.done, bob.done)
	}
	for d, other := range map[*device]*device{alice: bob, bob: alice} {
		if trusted, err := d.machine.IsUserTrusted(ctx, other.UserID); err != nil || !trusted {
			t.Errorf("%s trusts %s: %v, %v", d.UserID, other.UserID, trusted, err)
		}
	}
}

// deviceOf is a device as another one knows it.
func deviceOf(d, other *device) *id.Device {
	d.t.Helper()
	known, err := d.store.GetDevice(d.t.Context(), other.UserID, other.DeviceID)
	d.ok(err)
	if known == nil {
		d.t.Fatalf("%s does not know the device %s", d.UserID, other.DeviceID)
	}
	return known
}

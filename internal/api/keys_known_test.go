package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// Keys that are in memory, since somebody has asked for them, follow all that changes them: they
// are what a process says that reads them from the database.
func TestKeysThatAreKnownFollowEachChange(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	on := func() *matrixtest.Client {
		return matrixtest.New(t, newAPI(t, servicesWithWindow(t, pool, 0)).Handler())
	}
	anyone := on()
	phone, laptop := encrypting(anyone.Register("alice", "wordpass")), newCrypto(anyone.Login("alice", "wordpass"))
	alice, bob := newCrossSigning(phone.Client), newCrossSigning(anyone.Register("bob", "wordpass"))
	bob.upload(bob.all()).OK()
	next, other := newCrossSigning(phone.Client), newCrypto(phone.Client)
	before := query(bob.Client, alice.UserID).Body
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a device uploads its keys", func() { laptop.upload(map[string]any{"device_keys": laptop.identity()}).OK() }},
		{"the user uploads cross-signing keys", func() { alice.upload(alice.all()).OK() }},
		{"they sign a device", func() {
			uploadSignature(phone.Client, alice.UserID, phone.DeviceID, alice.by(alice.self, phone.identity()))
		}},
		{"the viewer signs the master key, which has no other signature", func() {
			uploadSignature(bob.Client, alice.UserID, publicOf(alice.master), bob.by(bob.user, alice.masterKey()))
		}},
		{"a device signs the master key", func() {
			uploadSignature(phone.Client, alice.UserID, publicOf(alice.master), laptop.sign(alice.masterKey()))
		}},
		{"the viewer's signature goes with its key", func() {
			again := newCrossSigning(bob.Client)
			again.upload(again.authenticated(again.all())).OK()
			bob = again
		}},
		{"a device has another name", func() {
			laptop.Do("PUT", "/devices/"+laptop.DeviceID, map[string]any{"display_name": "Laptop"}).OK()
		}},
		{"the viewer signs again", func() {
			uploadSignature(bob.Client, alice.UserID, publicOf(alice.master), bob.by(bob.user, alice.masterKey()))
		}},
		{"a device logs out", func() { laptop.Do("POST", "/logout", nil).OK() }},
		{"a device has other keys", func() { other.upload(map[string]any{"device_keys": other.identity()}).OK() }},
		{"the cross-signing keys are replaced", func() { next.upload(next.authenticated(next.all())).OK() }},
		{"the account ends", func() { alice.Do("POST", "/account/deactivate", alice.authenticated(nil)).OK() }},
	} {
		step.do()
		got := query(bob.Client, alice.UserID).Body
		if cmp.Equal(got, before) {
			t.Errorf("%s: nothing has changed", step.name)
		}
		fresh := *on()
		fresh.UserID, fresh.DeviceID, fresh.Token = bob.UserID, bob.DeviceID, bob.Token
		if diff := cmp.Diff(query(&fresh, alice.UserID).Body, got); diff != "" {
			t.Errorf("%s (-read anew +from memory):\n%s", step.name, diff)
		}
		before = got
	}
}

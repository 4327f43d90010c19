package api

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/event"
	"homeserver/internal/matrixtest"
)

// cryptoDevice is the encryption of a client: its identity keys, and how many one-time keys
// it has made.
type cryptoDevice struct {
	*matrixtest.Client
	key    ed25519.PrivateKey
	curve  string
	number int
}

func newCrypto(c *matrixtest.Client) *cryptoDevice {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	return &cryptoDevice{Client: c, key: key, curve: curveKey()}
}

func curveKey() string {
	key, _ := ecdh.X25519().GenerateKey(rand.Reader)
	return base64.RawStdEncoding.EncodeToString(key.PublicKey().Bytes())
}

func publicOf(key ed25519.PrivateKey) string {
	return base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// sign adds a signature to an object. The key ID is without its algorithm.
func sign(t testing.TB, object any, userID, keyID string, key ed25519.PrivateKey) map[string]any {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	signer := event.Signer{ServerName: userID, KeyID: "ed25519:" + keyID, Key: key}
	if raw, err = signer.SignJSON(raw); err != nil {
		t.Fatal(err)
	}
	var signed map[string]any
	if err := json.Unmarshal(raw, &signed); err != nil {
		t.Fatal(err)
	}
	return signed
}

func (d *cryptoDevice) sign(object any) map[string]any {
	d.T.Helper()
	return sign(d.T, object, d.UserID, d.DeviceID, d.key)
}

// unsignedKeys are the identity keys of the device before they are signed.
func (d *cryptoDevice) unsignedKeys() map[string]any {
	return map[string]any{
		"user_id": d.UserID, "device_id": d.DeviceID,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys":       map[string]any{"ed25519:" + d.DeviceID: publicOf(d.key), "curve25519:" + d.DeviceID: d.curve},
	}
}

// identity are the identity keys of the device.
func (d *cryptoDevice) identity() map[string]any {
	d.T.Helper()
	return d.sign(d.unsignedKeys())
}

// oneTime makes new one-time keys.
func (d *cryptoDevice) oneTime(n int) map[string]any {
	d.T.Helper()
	keys := map[string]any{}
	for range n {
		d.number++
		keys[fmt.Sprintf("signed_curve25519:%06d", d.number)] = d.sign(map[string]any{"key": curveKey()})
	}
	return keys
}

// fallback makes a fallback key with an ID.
func (d *cryptoDevice) fallback(id string) map[string]any {
	d.T.Helper()
	return map[string]any{"signed_curve25519:" + id: d.sign(map[string]any{"key": curveKey(), "fallback": true})}
}

// upload uploads keys: names and values of the request's body.
func (d *cryptoDevice) upload(body map[string]any) *matrixtest.Response {
	d.T.Helper()
	return d.Do("POST", "/keys/upload", body)
}

// encrypting returns a client that has uploaded its keys.
func encrypting(c *matrixtest.Client) *cryptoDevice {
	c.T.Helper()
	d := newCrypto(c)
	d.upload(map[string]any{"device_keys": d.identity()}).OK()
	return d
}

// query asks for all keys of users.
func query(c *matrixtest.Client, users ...string) *matrixtest.Response {
	c.T.Helper()
	wanted := map[string]any{}
	for _, user := range users {
		wanted[user] = []string{}
	}
	return c.Do("POST", "/keys/query", map[string]any{"device_keys": wanted}).OK()
}

// sameJSON compares a part of an answer with a value.
func sameJSON(t testing.TB, what string, got, want any) {
	t.Helper()
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// keysLeft checks what an answer to /sync says of the keys of its device.
func keysLeft(t testing.TB, answer *matrixtest.Response, oneTime map[string]any, fallback ...string) {
	t.Helper()
	if fallback == nil {
		fallback = []string{}
	}
	sameJSON(t, "one-time keys", answer.At("device_one_time_keys_count"), oneTime)
	sameJSON(t, "unused fallback keys", answer.At("device_unused_fallback_key_types"), fallback)
	sameJSON(t, "unused fallback keys by their old name", answer.At("org.matrix.msc2732.device_unused_fallback_key_types"), fallback)
}

func TestDeviceKeysAreShownToOthersAsTheyWereUploaded(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	phone := newCrypto(alice)
	keys := phone.unsignedKeys()
	keys["org.example.more"] = map[string]any{"kept": []any{1, "<é>"}}
	signed := phone.sign(keys)
	signed["unsigned"] = map[string]any{"device_display_name": "not mine to say"}
	signed["signatures"].(map[string]any)["@bob:localhost"] = map[string]any{"ed25519:X": "not shown"}
	phone.upload(map[string]any{"device_keys": signed}).OK()

	want := phone.sign(keys)
	want["unsigned"] = map[string]any{}
	sameJSON(t, "device", query(bob, alice.UserID).At("device_keys"), map[string]any{alice.UserID: map[string]any{phone.DeviceID: want}})

	alice.Do("PUT", matrixtest.Path("devices", phone.DeviceID), `{"display_name":"Phone"}`).OK()
	tablet := encrypting(anyone.Login("alice", "wordpass"))
	anyone.Login("alice", "wordpass") // which does not encrypt
	want["unsigned"] = map[string]any{"device_display_name": "Phone"}
	all := query(bob, alice.UserID, bob.UserID, "@nobody:localhost")
	other := tablet.identity()
	other["unsigned"] = map[string]any{}
	sameJSON(t, "devices", all.At("device_keys"), map[string]any{
		alice.UserID: map[string]any{phone.DeviceID: want, tablet.DeviceID: other}, bob.UserID: map[string]any{},
	})
	for _, member := range []string{"failures", "master_keys", "self_signing_keys", "user_signing_keys"} {
		sameJSON(t, member, all.At(member), map[string]any{})
	}

	one := bob.Do("POST", "/keys/query", map[string]any{"device_keys": map[string]any{alice.UserID: []string{tablet.DeviceID, "NONE"}}}).OK()
	sameJSON(t, "one device", one.At("device_keys"), map[string]any{alice.UserID: map[string]any{tablet.DeviceID: other}})

	alice.Do("POST", "/logout", nil).OK()
	sameJSON(t, "after a logout", query(bob, alice.UserID).At("device_keys"), map[string]any{alice.UserID: map[string]any{tablet.DeviceID: other}})
}

func TestOneTimeKeysAreCounted(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := newCrypto(anyone.Register("alice", "wordpass"))
	none := map[string]any{"signed_curve25519": 0}
	first := phone.Sync("")
	keysLeft(t, first, none)
	sameJSON(t, "counts of nothing", phone.upload(map[string]any{}).OK().At("one_time_key_counts"), none)

	keys := phone.oneTime(2)
	keys["curve25519:AAAB"] = curveKey()
	answer := phone.upload(map[string]any{"device_keys": phone.identity(), "one_time_keys": keys, "fallback_keys": phone.fallback("F")}).OK()
	want := map[string]any{"signed_curve25519": 2, "curve25519": 1}
	sameJSON(t, "counts", answer.At("one_time_key_counts"), want)
	keysLeft(t, phone.Sync(""), want, "signed_curve25519")
	keysLeft(t, phone.Sync(first.NextBatch()), want, "signed_curve25519")

	// What is repeated since its answer was lost changes nothing.
	answer = phone.upload(map[string]any{"device_keys": phone.identity(), "one_time_keys": keys}).OK()
	sameJSON(t, "counts after the same again", answer.At("one_time_key_counts"), want)
	phone.upload(map[string]any{"one_time_keys": map[string]any{"curve25519:AAAB": curveKey()}}).Refused(400, "M_INVALID_PARAM")
	sameJSON(t, "counts after a refusal", phone.upload(map[string]any{}).OK().At("one_time_key_counts"), want)

	keysLeft(t, anyone.Login("alice", "wordpass").Sync(""), none)

	// A device that was deleted and comes back has none.
	phone.Do("POST", "/logout", nil).OK()
	again := *phone.Client
	again.Token = anyone.Do("POST", "/login", map[string]any{
		"type": "m.login.password", "password": "wordpass", "device_id": phone.DeviceID,
		"identifier": map[string]any{"type": "m.id.user", "user": "alice"},
	}).OK().String("access_token")
	keysLeft(t, again.Sync(""), none)
}

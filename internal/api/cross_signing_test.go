package api

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"homeserver/internal/matrixtest"
)

// crossSigning are the cross-signing keys of a user.
type crossSigning struct {
	*matrixtest.Client
	master, self, user ed25519.PrivateKey
}

func newCrossSigning(c *matrixtest.Client) *crossSigning {
	key := func() ed25519.PrivateKey {
		_, key, _ := ed25519.GenerateKey(rand.Reader)
		return key
	}
	return &crossSigning{Client: c, master: key(), self: key(), user: key()}
}

// key is a cross-signing key before it is signed.
func (x *crossSigning) key(usage string, key ed25519.PrivateKey) map[string]any {
	public := publicOf(key)
	return map[string]any{"user_id": x.UserID, "usage": []string{usage}, "keys": map[string]any{"ed25519:" + public: public}}
}

func (x *crossSigning) masterKey() map[string]any { return x.key("master", x.master) }

// by signs an object with one of the keys.
func (x *crossSigning) by(key ed25519.PrivateKey, object any) map[string]any {
	x.T.Helper()
	return sign(x.T, object, x.UserID, publicOf(key), key)
}

func (x *crossSigning) selfKey() map[string]any { return x.by(x.master, x.key("self_signing", x.self)) }
func (x *crossSigning) userKey() map[string]any { return x.by(x.master, x.key("user_signing", x.user)) }

// all is the body of a request that uploads all keys.
func (x *crossSigning) all() map[string]any {
	x.T.Helper()
	return map[string]any{"master_key": x.masterKey(), "self_signing_key": x.selfKey(), "user_signing_key": x.userKey()}
}

func (x *crossSigning) upload(body map[string]any) *matrixtest.Response {
	x.T.Helper()
	return x.Do("POST", "/keys/device_signing/upload", body)
}

// authenticated is a body with the password of the user.
func (x *crossSigning) authenticated(body map[string]any) map[string]any {
	with := map[string]any{"auth": passwordOf(x.UserID, "wordpass")}
	for name, value := range body {
		with[name] = value
	}
	return with
}

// uploadSignatures uploads a signed object, which must be taken.
func uploadSignature(c *matrixtest.Client, userID, keyID string, object any) {
	c.T.Helper()
	answer := c.Do("POST", "/keys/signatures/upload", map[string]any{userID: map[string]any{keyID: object}}).OK()
	sameJSON(c.T, "failures", answer.At("failures"), map[string]any{})
}

func TestCrossSigningKeysAreShown(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice, bob := newCrossSigning(anyone.Register("alice", "wordpass")), anyone.Register("bob", "wordpass")
	alice.upload(alice.all()).OK()
	for _, viewer := range []*matrixtest.Client{alice.Client, bob} {
		answer := query(viewer, alice.UserID, bob.UserID)
		sameJSON(t, "master keys", answer.At("master_keys"), map[string]any{alice.UserID: alice.masterKey()})
		sameJSON(t, "self-signing keys", answer.At("self_signing_keys"), map[string]any{alice.UserID: alice.selfKey()})
		own := map[string]any{}
		if viewer == alice.Client {
			own[alice.UserID] = alice.userKey()
		}
		sameJSON(t, "user-signing keys", answer.At("user_signing_keys"), own)
	}
}

// The first keys, and the same keys again, need no authentication; others do.
func TestCrossSigningKeysAreReplacedAfterAuthentication(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := newCrossSigning(anyone.Register("alice", "wordpass"))
	alice.upload(map[string]any{"self_signing_key": alice.selfKey()}).Refused(400, "M_MISSING_PARAM")
	alice.upload(map[string]any{}).Refused(400, "M_MISSING_PARAM")
	alice.upload(map[string]any{"master_key": alice.masterKey(), "self_signing_key": alice.selfKey()}).OK()
	for _, again := range []map[string]any{{}, {"master_key": alice.masterKey()}, {"self_signing_key": alice.selfKey()}} {
		alice.upload(again).OK()
	}
	more := map[string]any{"user_signing_key": alice.userKey()}
	asksForPassword(t, alice.upload(more))
	alice.upload(alice.authenticated(more)).OK()
	alice.upload(alice.all()).OK()

	next := newCrossSigning(alice.Client)
	asksForPassword(t, next.upload(next.all()))
	wrong := next.all()
	wrong["auth"] = passwordOf("alice", "wrong")
	next.upload(wrong).Refused(401, "M_FORBIDDEN")
	sameJSON(t, "after refusals", query(alice.Client, alice.UserID).At("self_signing_keys", alice.UserID), alice.selfKey())

	// With its session, as clients do it that ask for the password only then.
	session := next.upload(next.all()).String("session")
	body := next.authenticated(next.all())
	body["auth"].(map[string]any)["session"] = session
	next.upload(body).OK()
	next.upload(next.all()).OK()
	answer := query(alice.Client, alice.UserID)
	sameJSON(t, "then", answer.At("self_signing_keys", alice.UserID), next.selfKey())
	sameJSON(t, "then", answer.At("user_signing_keys", alice.UserID), next.userKey())
}

// A new master key has signed none of the former keys.
func TestNewMasterKeyEndsWhatTheFormerOneHasSigned(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	alice, bob := newCrossSigning(phone.Client), newCrossSigning(anyone.Register("bob", "wordpass"))
	alice.upload(alice.all()).OK()
	bob.upload(bob.all()).OK()
	uploadSignature(phone.Client, alice.UserID, phone.DeviceID, alice.by(alice.self, phone.unsignedKeys()))
	uploadSignature(phone.Client, alice.UserID, publicOf(alice.master), phone.sign(alice.masterKey()))
	uploadSignature(bob.Client, alice.UserID, publicOf(alice.master), bob.by(bob.user, alice.masterKey()))

	former := *alice
	next := newCrossSigning(phone.Client)
	next.upload(next.authenticated(map[string]any{"master_key": next.masterKey()})).OK()
	for _, viewer := range []*matrixtest.Client{phone.Client, bob.Client} {
		answer := query(viewer, alice.UserID)
		sameJSON(t, "master key", answer.At("master_keys", alice.UserID), next.masterKey())
		sameJSON(t, "self-signing keys", answer.At("self_signing_keys"), map[string]any{})
		sameJSON(t, "user-signing keys", answer.At("user_signing_keys"), map[string]any{})
		device := phone.identity()
		device["unsigned"] = map[string]any{}
		sameJSON(t, "device", answer.At("device_keys", alice.UserID, phone.DeviceID), device)
	}

	// It does not come back with the former key.
	former.upload(former.authenticated(former.all())).OK()
	sameJSON(t, "signatures", query(bob.Client, alice.UserID).At("master_keys", alice.UserID, "signatures"), nil)
}

func TestSignaturesAreShownToWhomTheyMayBe(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	laptop := encrypting(anyone.Login("alice", "wordpass"))
	alice := newCrossSigning(phone.Client)
	bob, carol := newCrossSigning(anyone.Register("bob", "wordpass")), newCrossSigning(anyone.Register("carol", "wordpass"))
	for _, x := range []*crossSigning{alice, bob, carol} {
		x.upload(x.all()).OK()
	}
	master := publicOf(alice.master)
	uploadSignature(phone.Client, alice.UserID, phone.DeviceID, alice.by(alice.self, phone.identity()))
	uploadSignature(phone.Client, alice.UserID, master, laptop.sign(phone.sign(alice.masterKey())))
	uploadSignature(bob.Client, alice.UserID, master, bob.by(bob.user, alice.masterKey()))
	uploadSignature(carol.Client, alice.UserID, master, carol.by(carol.user, alice.masterKey()))

	for viewer, by := range map[*matrixtest.Client]*crossSigning{phone.Client: nil, bob.Client: bob, carol.Client: carol} {
		answer := query(viewer, alice.UserID)
		device := alice.by(alice.self, phone.identity())
		device["unsigned"] = map[string]any{}
		sameJSON(t, "device, to "+viewer.UserID, answer.At("device_keys", alice.UserID, phone.DeviceID), device)
		want := laptop.sign(phone.sign(alice.masterKey()))
		if by != nil {
			want = by.by(by.user, want)
		}
		sameJSON(t, "master key, to "+viewer.UserID, answer.At("master_keys", alice.UserID), want)
	}

	// The signatures of a device go with it.
	laptop.Do("POST", "/logout", nil).OK()
	sameJSON(t, "after a logout", query(bob.Client, alice.UserID).At("master_keys", alice.UserID, "signatures"),
		bob.by(bob.user, phone.sign(alice.masterKey()))["signatures"])

	// The same keys again are still signed, and others are not.
	phone.upload(map[string]any{"device_keys": phone.identity()}).OK()
	signed := query(bob.Client, alice.UserID).At("device_keys", alice.UserID, phone.DeviceID, "signatures", alice.UserID)
	if len(signed.(map[string]any)) != 2 {
		t.Errorf("after the same keys again: %v", signed)
	}
	again := *newCrypto(phone.Client)
	again.upload(map[string]any{"device_keys": again.identity()}).OK()
	answer := query(bob.Client, alice.UserID)
	device := again.identity()
	device["unsigned"] = map[string]any{}
	sameJSON(t, "other keys", answer.At("device_keys", alice.UserID, phone.DeviceID), device)
	sameJSON(t, "what the former ones have signed", answer.At("master_keys", alice.UserID, "signatures", alice.UserID), nil)
}

// Signatures that come with what is uploaded are kept as if they had come by themselves.
func TestSignaturesThatComeWithKeys(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	alice := newCrossSigning(phone.Client)
	body := alice.all()
	body["master_key"] = sign(t, phone.sign(alice.by(alice.master, alice.masterKey())), "@bob:localhost", "X", alice.user)
	alice.upload(body).OK()
	want := phone.sign(alice.by(alice.master, alice.masterKey()))
	sameJSON(t, "master key", query(phone.Client, alice.UserID).At("master_keys", alice.UserID), want)

	tablet := newCrypto(anyone.Login("alice", "wordpass"))
	signed := alice.by(alice.self, tablet.identity())
	tablet.upload(map[string]any{"device_keys": signed}).OK()
	signed["unsigned"] = map[string]any{}
	sameJSON(t, "device", query(phone.Client, alice.UserID).At("device_keys", alice.UserID, tablet.DeviceID), signed)
}

func TestDeviceAndCrossSigningKeyMayNotHaveOneID(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	alice := newCrossSigning(anyone.Register("alice", "wordpass"))
	login := func(id string) *matrixtest.Response {
		return anyone.Do("POST", "/login", map[string]any{
			"type": "m.login.password", "password": "wordpass", "device_id": id, "identifier": map[string]any{"type": "m.id.user", "user": "alice"},
		})
	}
	login(publicOf(alice.self)).OK()
	alice.upload(alice.all()).Refused(403, "M_FORBIDDEN")
	other := newCrossSigning(alice.Client)
	other.upload(other.all()).OK()
	for _, key := range []ed25519.PrivateKey{other.master, other.self, other.user} {
		login(publicOf(key)).Refused(403, "M_FORBIDDEN")
		late := *alice.Client
		late.DeviceID = publicOf(key)
		alice.Do("PUT", dehydratedPath, newCrypto(&late).dehydration(nil)).Refused(403, "M_FORBIDDEN")
	}
	login(publicOf(alice.self)).OK()
	if devices, _ := alice.Do("GET", "/devices", nil).OK().At("devices").([]any); len(devices) != 2 {
		t.Errorf("alice has the devices %v, want two", devices)
	}
}

func TestKeysEndWithTheirAccount(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	alice, bob := newCrossSigning(phone.Client), newCrossSigning(anyone.Register("bob", "wordpass"))
	alice.upload(alice.all()).OK()
	bob.upload(bob.all()).OK()
	uploadSignature(phone.Client, bob.UserID, publicOf(bob.master), alice.by(alice.user, bob.masterKey()))
	alice.Do("POST", "/account/deactivate", alice.authenticated(nil)).OK()
	answer := query(bob.Client, alice.UserID)
	sameJSON(t, "devices", answer.At("device_keys"), map[string]any{alice.UserID: map[string]any{}})
	for _, member := range []string{"master_keys", "self_signing_keys"} {
		sameJSON(t, member, answer.At(member), map[string]any{})
	}
}

// When a user verifies another, only the user's own devices learn of it. Signatures that others
// can see are news for everybody.
func TestSignaturesAreNewsForWhomTheyAreShownTo(t *testing.T) {
	t.Parallel()
	anyone := newServer(t)
	phone := encrypting(anyone.Register("alice", "wordpass"))
	laptop := anyone.Login("alice", "wordpass")
	alice, bob := newCrossSigning(phone.Client), newCrossSigning(anyone.Register("bob", "wordpass"))
	alice.upload(alice.all()).OK()
	bob.upload(bob.all()).OK()
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	since := map[*matrixtest.Client]string{}
	look := func(what string, want map[*matrixtest.Client][]any) {
		t.Helper()
		for _, c := range []*matrixtest.Client{laptop, bob.Client} {
			answer := c.Sync(since[c])
			if since[c] != "" {
				list := want[c]
				if list == nil {
					list = []any{}
				}
				sameJSON(t, what+", to "+c.UserID, answer.At("device_lists", "changed"), list)
			}
			since[c] = answer.NextBatch()
		}
	}
	look("at first", nil)
	other := map[string]any{bob.UserID: map[string]any{publicOf(bob.master): alice.by(alice.user, bob.masterKey())}}
	for _, want := range []map[*matrixtest.Client][]any{{laptop: {bob.UserID}}, {}} { // the second time it is no news
		phone.Do("POST", "/keys/signatures/upload", other).OK()
		look("verified", want)
	}
	everybody := map[*matrixtest.Client][]any{laptop: {alice.UserID}, bob.Client: {alice.UserID}}
	uploadSignature(phone.Client, alice.UserID, phone.DeviceID, alice.by(alice.self, phone.unsignedKeys()))
	look("a signed device", everybody)
	uploadSignature(phone.Client, alice.UserID, publicOf(alice.master), phone.sign(alice.masterKey()))
	look("a signed master key", everybody)
	phone.upload(map[string]any{"device_keys": phone.identity(), "one_time_keys": phone.oneTime(3)}).OK()
	look("the same keys", nil)
}

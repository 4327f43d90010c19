//go:build goolm

package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/backup"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// device is a client with the crypto of mautrix-go, as bots and bridges use it. It keeps all in memory,
// and outlives restarts of the server.
type device struct {
	*mautrix.Client
	t        *testing.T
	machine  *crypto.OlmMachine
	store    *crypto.MemoryStore
	verifier *verificationhelper.VerificationHelper
	since    string

	texts   map[id.EventID]string // what was decrypted
	failed  map[id.EventID]error  // what was not
	request id.VerificationTransactionID
	emoji   string // the short authentication string
	done    bool   // the verification is over
}

// newDevice logs a user in on a device, and uploads its keys.
func newDevice(t *testing.T, s *Server, user string) *device {
	t.Helper()
	client, err := mautrix.NewClient(s.Addresses()[0].URL(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	client.Client = &http.Client{Timeout: time.Minute}
	d := &device{Client: client, t: t, store: crypto.NewMemoryStore(nil), texts: map[id.EventID]string{}, failed: map[id.EventID]error{}}
	_, err = client.Login(t.Context(), &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: user},
		Password: "wordpass", StoreCredentials: true,
	})
	d.ok(err)
	state := mautrix.NewMemoryStateStore()
	client.StateStore = state
	d.machine = crypto.NewOlmMachine(client, nil, d.store, state.(crypto.StateStore))
	client.Crypto = d
	d.ok(d.machine.Load(t.Context()))
	d.ok(d.machine.ShareKeys(t.Context(), -1))
	_, err = d.machine.FetchKeys(t.Context(), []id.UserID{client.UserID}, true)
	d.ok(err)

	syncer := client.Syncer.(*mautrix.DefaultSyncer)
	syncer.OnSync(d.machine.ProcessSyncResponse)
	syncer.OnEvent(client.StateStoreSyncHandler)
	syncer.OnEventType(event.StateMember, d.machine.HandleMemberEvent)
	syncer.OnEventType(event.EventEncrypted, d.read)
	d.verifier = verificationhelper.NewVerificationHelper(client, d.machine, nil, (*callbacks)(d), false, false, true)
	d.ok(d.verifier.Init(t.Context()))
	return d
}

// ok ends the test if there is an error.
func (d *device) ok(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s on %s: %v", d.UserID, d.DeviceID, err)
	}
}

// at moves the device to the server as it runs now.
func (d *device) at(s *Server) {
	d.t.Helper()
	address, err := url.Parse(s.Addresses()[0].URL())
	d.ok(err)
	d.HomeserverURL = address
}

// sync asks for news once.
func (d *device) sync() {
	d.t.Helper()
	news, err := d.FullSyncRequest(d.t.Context(), mautrix.ReqSync{Since: d.since})
	d.ok(err)
	since := d.since
	d.since = news.NextBatch
	d.ok(d.Syncer.ProcessResponse(d.t.Context(), news, since))
}

// read decrypts a message.
func (d *device) read(ctx context.Context, e *event.Event) {
	clear, err := d.Decrypt(ctx, e)
	if err != nil {
		d.failed[e.ID] = err
		return
	}
	delete(d.failed, e.ID)
	d.texts[e.ID] = clear.Content.AsMessage().Body
}

// say sends a message to an encrypted room.
func (d *device) say(room id.RoomID, text string) id.EventID {
	d.t.Helper()
	sent, err := d.SendText(d.t.Context(), room, text)
	d.ok(err)
	return sent.EventID
}

// wantRead fails the test unless the device has decrypted messages.
func (d *device) wantRead(messages map[id.EventID]string) {
	d.t.Helper()
	for message, text := range messages {
		if got := d.texts[message]; got != text {
			d.t.Errorf("%s on %s reads %q in place of %q: %v", d.UserID, d.DeviceID, got, text, d.failed[message])
		}
	}
}

// history reads a room from its end, as one who scrolls back.
func (d *device) history(room id.RoomID) {
	d.t.Helper()
	page, err := d.Messages(d.t.Context(), room, "", "", mautrix.DirectionBackward, nil, 100)
	d.ok(err)
	for _, e := range page.Chunk {
		if e.Type == event.EventEncrypted {
			d.ok(e.Content.ParseRaw(e.Type))
			d.read(d.t.Context(), e)
		}
	}
}

// Init is part of what the client asks of its crypto.
func (d *device) Init(context.Context) error { return nil }

// Encrypt encrypts what is sent, and shares the key with all devices in the room if they do not have it.
func (d *device) Encrypt(ctx context.Context, room id.RoomID, typ event.Type, content any) (*event.EncryptedEventContent, error) {
	encrypted, err := d.machine.EncryptMegolmEvent(ctx, room, typ, content)
	if !errors.Is(err, crypto.ErrSessionExpired) && !errors.Is(err, crypto.ErrNoGroupSession) && !errors.Is(err, crypto.ErrSessionNotShared) {
		return encrypted, err
	}
	members, err := d.StateStore.GetRoomJoinedOrInvitedMembers(ctx, room)
	if err != nil {
		return nil, err
	}
	if err := d.machine.ShareGroupSession(ctx, room, members); err != nil {
		return nil, err
	}
	return d.machine.EncryptMegolmEvent(ctx, room, typ, content)
}

// Decrypt decrypts what was received.
func (d *device) Decrypt(ctx context.Context, e *event.Event) (*event.Event, error) {
	return d.machine.DecryptMegolmEvent(ctx, e)
}

// WaitForSession reports whether the key of a session has come.
func (d *device) WaitForSession(ctx context.Context, room id.RoomID, sender id.SenderKey, session id.SessionID, timeout time.Duration) bool {
	return d.machine.WaitForSession(ctx, room, sender, session, timeout)
}

// RequestSession asks nobody for keys: none may be missing.
func (*device) RequestSession(context.Context, id.RoomID, id.SenderKey, id.SessionID, id.UserID, id.DeviceID) {
}

// backUp makes a key backup and puts all keys of a room into it. It returns the key of the backup.
func (d *device) backUp(room id.RoomID) *backup.MegolmBackupKey {
	d.t.Helper()
	ctx := d.t.Context()
	key, err := backup.NewMegolmBackupKey()
	d.ok(err)
	auth := backup.MegolmAuthData{PublicKey: id.Ed25519(base64.RawStdEncoding.EncodeToString(key.PublicKey().Bytes()))}
	made, err := d.CreateKeyBackupVersion(ctx, &mautrix.ReqRoomKeysVersionCreate[backup.MegolmAuthData]{
		Algorithm: id.KeyBackupAlgorithmMegolmBackupV1, AuthData: auth,
	})
	d.ok(err)
	sessions, err := d.store.GetGroupSessionsForRoom(ctx, room).AsList()
	d.ok(err)
	keys := map[id.SessionID]mautrix.ReqKeyBackupData{}
	for _, session := range sessions {
		exported, err := session.Internal.Export(session.Internal.FirstKnownIndex())
		d.ok(err)
		sealed, err := backup.EncryptSessionData(key, backup.MegolmSessionData{
			Algorithm: id.AlgorithmMegolmV1, ForwardingKeyChain: session.ForwardingChains, SenderKey: session.SenderKey,
			SenderClaimedKeys: backup.SenderClaimedKeys{Ed25519: session.SigningKey}, SessionKey: string(exported),
		})
		d.ok(err)
		data, err := json.Marshal(sealed)
		d.ok(err)
		keys[session.ID()] = mautrix.ReqKeyBackupData{FirstMessageIndex: int(session.Internal.FirstKnownIndex()), SessionData: data}
	}
	stored, err := d.PutKeysInBackup(ctx, made.Version, &mautrix.ReqKeyBackup{Rooms: map[id.RoomID]mautrix.ReqRoomKeyBackup{room: {Sessions: keys}}})
	d.ok(err)
	if len(sessions) == 0 || stored.Count != len(sessions) {
		d.t.Errorf("%d of %d keys are backed up", stored.Count, len(sessions))
	}
	return key
}

// callbacks is a device as its verification sees it.
type callbacks device

func (c *callbacks) VerificationRequested(_ context.Context, txn id.VerificationTransactionID, _ id.UserID, _ id.DeviceID) {
	c.request = txn
}

func (*callbacks) VerificationReady(context.Context, id.VerificationTransactionID, id.DeviceID, bool, bool, *verificationhelper.QRCode) {
}

func (c *callbacks) VerificationCancelled(_ context.Context, _ id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	c.t.Errorf("the verification of %s was cancelled: %s, %s", c.UserID, code, reason)
}

func (c *callbacks) VerificationDone(context.Context, id.VerificationTransactionID, event.VerificationMethod) {
	c.done = true
}

func (c *callbacks) ShowSAS(_ context.Context, _ id.VerificationTransactionID, emoji []rune, _ []string, _ []int) {
	c.emoji = string(emoji)
}

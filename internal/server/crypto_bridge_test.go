//go:build goolm

package server

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"homeserver/internal/matrixtest"
)

// cryptoBridge is an application service with the crypto of mautrix-go, as bridges use it: its bot has a
// device that nobody has logged in to, and never asks by /sync.
type cryptoBridge struct {
	t       *testing.T
	file    string
	as      *appservice.AppService
	client  *mautrix.Client
	machine *crypto.OlmMachine
	store   *crypto.MemoryStore
	joined  chan id.RoomID

	mu    sync.Mutex
	texts map[id.EventID]string
}

func newCryptoBridge(t *testing.T) *cryptoBridge {
	t.Helper()
	b := &cryptoBridge{
		t: t, file: filepath.Join(t.TempDir(), "registration.yaml"), store: crypto.NewMemoryStore(nil), joined: make(chan id.RoomID, 10),
		texts: map[id.EventID]string{},
	}
	r := appservice.CreateRegistration()
	r.ID, r.SenderLocalpart, r.EphemeralEvents, r.MSC3202, r.MSC4190 = "net", "netbot", true, true, true
	r.Namespaces.UserIDs.Register(regexp.MustCompile(`^@_net_.*:localhost$`), true)
	var err error
	b.as, err = appservice.CreateFull(appservice.CreateOpts{Registration: r, HomeserverDomain: "localhost", HomeserverURL: "http://localhost"})
	b.ok(err)
	listening := httptest.NewServer(b.as.Router)
	t.Cleanup(listening.Close)
	r.URL = listening.URL
	b.ok(r.Save(b.file))
	return b
}

func (b *cryptoBridge) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// at moves the bridge to the server as it runs now.
func (b *cryptoBridge) at(s *Server) {
	b.t.Helper()
	address, err := url.Parse(s.Addresses()[0].URL())
	b.ok(err)
	if b.client == nil {
		b.ok(b.as.SetHomeserverURL(address.String()))
		b.client = b.as.NewMautrixClient(b.as.BotMXID())
	}
	b.client.HomeserverURL = address
}

// begin makes the device of the bot, and handles what comes.
func (b *cryptoBridge) begin() {
	b.t.Helper()
	ctx := b.t.Context()
	b.ok(b.client.CreateDeviceMSC4190(ctx, "BRIDGE", "a bridge"))
	b.machine = crypto.NewOlmMachine(b.client, nil, b.store, b.as.StateStore.(crypto.StateStore))
	b.ok(b.machine.Load(ctx))
	b.ok(b.machine.ShareKeys(ctx, -1))
	p := appservice.NewEventProcessor(b.as)
	b.machine.AddAppserviceListener(p)
	p.On(event.StateMember, b.machine.HandleMemberEvent)
	p.On(event.StateMember, b.acceptInvite)
	p.On(event.EventEncrypted, b.read)
	p.Start(ctx)
	b.t.Cleanup(p.Stop)
}

func (b *cryptoBridge) acceptInvite(ctx context.Context, e *event.Event) {
	if e.GetStateKey() != b.client.UserID.String() || e.Content.AsMember().Membership != event.MembershipInvite {
		return
	}
	if _, err := b.client.JoinRoomByID(ctx, e.RoomID); err != nil {
		b.t.Errorf("accept the invitation: %v", err)
	}
	b.joined <- e.RoomID
}

// read decrypts a message, whose key may come a moment later.
func (b *cryptoBridge) read(ctx context.Context, e *event.Event) {
	if e.Sender == b.client.UserID {
		return
	}
	content := e.Content.AsEncrypted()
	b.machine.WaitForSession(ctx, e.RoomID, content.SenderKey, content.SessionID, time.Minute)
	clear, err := b.machine.DecryptMegolmEvent(ctx, e)
	if err != nil {
		b.t.Errorf("the bridge cannot read %s: %v", e.ID, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.texts[e.ID] = clear.Content.AsMessage().Body
}

// wantRead waits until the bridge has read a message.
func (b *cryptoBridge) wantRead(message id.EventID, text string) {
	b.t.Helper()
	matrixtest.Until(b.t, "the bridge reads "+text, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.texts[message] == text
	})
}

// say sends an encrypted message to a room.
func (b *cryptoBridge) say(room id.RoomID, text string) id.EventID {
	b.t.Helper()
	ctx := b.t.Context()
	message := &event.MessageEventContent{MsgType: event.MsgText, Body: text}
	encrypted, err := b.machine.EncryptMegolmEvent(ctx, room, event.EventMessage, message)
	if errors.Is(err, crypto.ErrSessionExpired) || errors.Is(err, crypto.ErrNoGroupSession) || errors.Is(err, crypto.ErrSessionNotShared) {
		members, memberErr := b.as.StateStore.GetRoomJoinedOrInvitedMembers(ctx, room)
		b.ok(memberErr)
		b.ok(b.machine.ShareGroupSession(ctx, room, members))
		encrypted, err = b.machine.EncryptMegolmEvent(ctx, room, event.EventMessage, message)
	}
	b.ok(err)
	sent, err := b.client.SendMessageEvent(ctx, room, event.EventEncrypted, encrypted)
	b.ok(err)
	return sent.EventID
}

// In TestEncryptedRoomWithABridge a user and a bridge talk in an encrypted room. All that the bridge learns
// of keys and devices comes by transactions, also what happens while one of both is away.
func TestEncryptedRoomWithABridge(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	b := newCryptoBridge(t)
	cfg := testConfig(t)
	cfg.AppServiceFiles = []string{b.file}
	s := mustStart(t, cfg)
	clientAt(t, s, 0).Register("alice", "wordpass")
	alice := newDevice(t, s, "alice")
	b.at(s)
	b.begin()
	made, err := alice.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{
		Invite: []id.UserID{b.client.UserID},
		InitialState: []*event.Event{{
			Type: event.StateEncryption, Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}},
		}},
	})
	alice.ok(err)
	room := made.RoomID
	select {
	case <-b.joined:
	case <-time.After(matrixtest.Patience):
		t.Fatal("the bridge got no invitation")
	}
	_, err = b.client.State(t.Context(), room)
	b.ok(err)
	alice.sync()
	b.wantRead(alice.say(room, "hello, bridge"), "hello, bridge")
	said := map[id.EventID]string{b.say(room, "hello, alice"): "hello, alice"}
	alice.sync()
	alice.wantRead(said)

	shutDown(t, s)
	s = mustStart(t, cfg)
	alice.at(s)
	b.at(s)
	phone := newDevice(t, s, "alice") // which the bridge learns by a change of the device list
	matrixtest.Until(t, "the bridge knows the new device", func() bool {
		known, err := b.store.GetDevice(t.Context(), alice.UserID, phone.DeviceID)
		return err == nil && known != nil
	})
	b.wantRead(alice.say(room, "after a restart"), "after a restart")
	phone.sync()
	b.wantRead(phone.say(room, "from the phone"), "from the phone")
	said = map[id.EventID]string{b.say(room, "to both"): "to both"}
	for _, d := range []*device{alice, phone} {
		d.sync()
		d.wantRead(said)
	}
}

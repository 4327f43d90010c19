//go:build goolm

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"homeserver/internal/matrixtest"
)

const bridgePrefix = "_net_"

// bridge bridges a small network, which is only in memory, by the framework that most bridges are made with.
type bridge struct {
	t            *testing.T
	registration *appservice.Registration
	file         string
	address      string
	server       *http.Server
	as           *appservice.AppService
	ended        sync.WaitGroup
	stopped      chan struct{}

	mu sync.Mutex
	// said is what real users have said, as it came to the network, by user; typing are the users who type, and
	// read the events up to which users have read, as far as the bridge has learnt it.
	said   map[string][]string
	typing map[string]bool
	read   map[string]id.EventID
	// handled are the transactions that it has handled, which it does not forget.
	handled map[string]bool
}

// newBridge makes a bridge with its registration file. It does not run yet.
func newBridge(t *testing.T) *bridge {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bridge{
		t: t, registration: appservice.CreateRegistration(), file: filepath.Join(t.TempDir(), "registration.yaml"), address: listener.Addr().String(),
		said: map[string][]string{}, typing: map[string]bool{}, read: map[string]id.EventID{},
		handled: map[string]bool{},
	}
	b.ok(listener.Close())
	r := b.registration
	r.ID, r.URL, r.SenderLocalpart, r.EphemeralEvents, r.SoruEphemeralEvents = "net", "http://"+b.address, "netbot", true, true
	r.Namespaces.UserIDs.Register(regexp.MustCompile(`^@`+bridgePrefix+`.*:localhost$`), true)
	r.Namespaces.RoomAliases.Register(regexp.MustCompile(`^#`+bridgePrefix+`.*:localhost$`), true)
	limited := false
	r.RateLimited = &limited
	b.ok(r.Save(b.file))
	return b
}

func (b *bridge) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// start starts the bridge, with nothing in memory of what it has received before.
func (b *bridge) start(homeserver string) {
	b.t.Helper()
	var err error
	b.as, err = appservice.CreateFull(appservice.CreateOpts{Registration: b.registration, HomeserverDomain: "localhost", HomeserverURL: homeserver})
	b.ok(err)
	var listener net.Listener
	matrixtest.Until(b.t, "the address is free", func() bool {
		listener, err = net.Listen("tcp", b.address) //nolint:noctx // it is a test
		return err == nil
	})
	b.server = &http.Server{Handler: b.once(b.as.Router)} //nolint:gosec // it serves one test
	b.stopped = make(chan struct{})
	server, as, stopped := b.server, b.as, b.stopped
	b.ended.Go(func() { _ = server.Serve(listener) })
	b.ended.Go(func() {
		for {
			select {
			case e := <-as.Events:
				b.receive(e)
			case <-stopped:
				return
			}
		}
	})
}

// once has each transaction be handled once: the framework forgets them when it ends.
func (b *bridge) once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.isHandled(r.URL.Path) {
			_, _ = io.WriteString(w, "{}")
			return
		}
		next.ServeHTTP(w, r)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handled[r.URL.Path] = r.Method == http.MethodPut
	})
}

func (b *bridge) isHandled(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.handled[path]
}

// transactions is how many have come.
func (b *bridge) transactions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.handled)
}

// stop stops the bridge. Transactions that it has begun to handle it answers.
func (b *bridge) stop() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b.ok(b.server.Shutdown(ctx))
	matrixtest.Until(b.t, "all that came is handled", func() bool { return len(b.as.Events) == 0 })
	close(b.stopped)
	b.ended.Wait()
}

// receive hands on to the network what happens on Matrix.
func (b *bridge) receive(e *event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Type.Type {
	case "m.room.message":
		if !b.isGhost(e.Sender) {
			b.said[e.Sender.String()] = append(b.said[e.Sender.String()], e.Content.AsMessage().Body)
		}
	case "m.typing":
		for _, user := range e.Content.AsTyping().UserIDs {
			b.typing[user.String()] = true
		}
	case "m.receipt":
		for eventID, receipts := range *e.Content.AsReceipt() {
			for user := range receipts[event.ReceiptTypeRead] {
				b.read[user.String()] = eventID
			}
		}
	}
}

func (b *bridge) isGhost(user id.UserID) bool {
	return user == b.as.BotMXID() || regexp.MustCompile(`^@`+bridgePrefix).MatchString(user.String())
}

// knows waits until the network knows something.
func (b *bridge) knows(what string, yes func() bool) {
	b.t.Helper()
	matrixtest.Until(b.t, what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return yes()
	})
}

// ghost is a user of the network.
func (b *bridge) ghost(name string) *appservice.IntentAPI {
	b.t.Helper()
	intent := b.as.Intent(id.NewUserID(bridgePrefix+name, "localhost"))
	b.ok(intent.EnsureRegistered(b.t.Context()))
	return intent
}

// says has a user of the network say something that was said at some time.
func (b *bridge) says(name string, room id.RoomID, text string, at time.Time) id.EventID {
	b.t.Helper()
	sent, err := b.ghost(name).SendMessageEvent(b.t.Context(), room, event.EventMessage,
		&event.MessageEventContent{MsgType: event.MsgText, Body: text}, mautrix.ReqSendEvent{Timestamp: at.UnixMilli()})
	b.ok(err)
	return sent.EventID
}

func TestBridgeOfASmallNetwork(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	b := newBridge(t)
	dir, environ := dataFolder(t), []string{
		"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=warn", "HOMESERVER_APP_SERVICE_FILES=" + b.file,
	}
	d := serveFrom(t, dir, environ...)
	b.start(d.http)
	bot := b.as.BotIntent()
	b.ok(bot.EnsureRegistered(t.Context()))
	if !bot.EnsureAppserviceConnection(t.Context()) {
		t.Fatal("the server cannot reach the bridge")
	}

	// A channel of the network, with its people.
	alice, bob := d.client(t).Register("alice", "wordpass"), d.client(t).Register("bob", "wordpass")
	room := b.channel(alice)
	bob.Join(string(room))
	nick := b.ghost("nick")
	b.ok(nick.SetDisplayName(t.Context(), "Nick"))
	b.ok(nick.EnsureJoined(t.Context(), room))
	then := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	old := b.says("nick", room, "from the network", then)
	seen := alice.SyncUntil("", func(r *matrixtest.Response) bool {
		return slices.ContainsFunc(r.Timeline(string(room)), func(e matrixtest.Event) bool { return e.ID == old.String() })
	})
	for _, e := range seen.Timeline(string(room)) {
		if e.ID == old.String() && (e.Sender != nick.UserID.String() || e.OriginServerTS != then.UnixMilli()) {
			t.Errorf("alice sees %+v", e)
		}
	}
	alice.Do(http.MethodPut, matrixtest.Path("rooms", string(room), "typing", alice.UserID), map[string]any{"typing": true, "timeout": 30_000})
	alice.Do(http.MethodPost, matrixtest.Path("rooms", string(room), "receipt", "m.read", old.String()), map[string]any{})
	b.knows("the network knows that alice types and has read", func() bool { return b.typing[alice.UserID] && b.read[alice.UserID] == old })

	// Both sides go away, in the middle of it all.
	users := []*sender{{client: alice, room: string(room), name: "alice"}, {client: bob, room: string(room), name: "bob"}}
	for round := range 2 {
		b.talk(users, d.http, func() {
			if round == 1 {
				d.killPostgres(t)
			}
			d.end(syscall.SIGKILL)
		})
		b.stop()
		d = serveFrom(t, dir, environ...)
		for _, u := range users {
			u.client.BaseURL = d.http
			for range 120 {
				u.insist(t)
			}
		}
		before := b.transactions()
		b.start(d.http)
		b.catchUp(users)
		if n := b.transactions() - before; n > 20 {
			t.Errorf("240 messages came in %d transactions", n)
		}
		b.says("nick", room, fmt.Sprint("round ", round), time.Now())
	}
	b.stop()
}

// channel makes the room of a channel, which alice joins by its alias.
func (b *bridge) channel(alice *matrixtest.Client) id.RoomID {
	b.t.Helper()
	bot := b.as.BotIntent()
	created, err := bot.CreateRoom(b.t.Context(), &mautrix.ReqCreateRoom{Preset: "public_chat", RoomAliasName: bridgePrefix + "channel"})
	b.ok(err)
	if joined := alice.Join("#" + bridgePrefix + "channel:localhost"); joined != created.RoomID.String() {
		b.t.Fatalf("the alias leads to %s, want %s", joined, created.RoomID)
	}
	return created.RoomID
}

// talk has everybody talk. It calls kill after some random number of messages, and returns then.
func (b *bridge) talk(users []*sender, baseURL string, kill func()) {
	var talking sync.WaitGroup
	over := make(chan struct{})
	fatal := 20 + rand.IntN(60) //nolint:gosec // any moment will do
	for _, u := range users {
		u.client.BaseURL = baseURL
		talking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				_ = u.next(b.t) // what has failed is sent again later
			}
		})
	}
	b.knows("the network has heard some of it", func() bool { return len(b.said[users[0].client.UserID]) > fatal })
	kill()
	close(over)
	talking.Wait()
}

// catchUp waits until the network has heard all, in the order in which it was said, each once.
func (b *bridge) catchUp(users []*sender) {
	b.t.Helper()
	for _, u := range users {
		var want []string
		for n := range u.acked {
			want = append(want, u.text(n))
		}
		b.knows("the network has heard all", func() bool { return len(b.said[u.client.UserID]) >= len(want) })
		b.mu.Lock()
		if diff := cmp.Diff(want, b.said[u.client.UserID]); diff != "" {
			b.t.Errorf("what %s has said (-said +heard):\n%s", u.name, diff)
		}
		b.mu.Unlock()
	}
}

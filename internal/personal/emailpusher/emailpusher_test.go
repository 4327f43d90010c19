package emailpusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/threepid/threepidtest"
	"homeserver/internal/clock"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/rooms/roomstest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	alice, bob = roomstest.Alice, roomstest.Bob
	address    = "bob@example.org"
)

// env is the harness with a mail server. Bob has the address.
type env struct {
	*roomstest.Env
	mails    *Service
	push     *push.Service
	receipts *receipts.Service
	server   *threepidtest.MailServer
	clock    *clock.Clock
	disowned bool // bob has the address no more
}

func newEnv(t *testing.T) *env {
	t.Helper()
	t.Parallel()
	return envOn(t, nil, threepidtest.NewMailServer(t, nil, false), &clock.Clock{})
}

// envOn starts another server process, as it were, on a database; nil: a new one.
func envOn(t *testing.T, pool *pgxpool.Pool, server *threepidtest.MailServer, time *clock.Clock) *env {
	t.Helper()
	h := &env{Env: roomstest.Open(t, roomstest.Options{Pool: pool}), server: server, clock: time}
	store := h.Rooms.Timeline
	h.receipts = receipts.New(h.Pool, h.Journal, store, nil, 0, time.Now)
	h.push = push.New(push.Options{
		Pool: h.Pool, Journal: h.Journal, Rooms: store, ReadUpTo: h.receipts.Marks,
		OwnsEmail: func(_ context.Context, userID, a string) (bool, error) {
			return userID == bob && a == address && !h.disowned, nil
		},
	})
	mailer, err := threepid.NewMailer(threepid.MailOptions{
		Host: server.Host, Port: server.Port, TLS: threepid.NoTLS, From: "Example <matrix@example.org>",
	})
	if err != nil {
		t.Fatal(err)
	}
	h.mails = New(Options{
		Journal: h.Journal, Rooms: store, Push: h.push, Mail: mailer, Signer: roomstest.Signer, ServerName: "example.org",
		BaseURL: "https://matrix.example.org", RoomURL: "https://matrix.to/#/", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Clock: time,
	})
	h.mails.gather = 0
	h.Run()
	h.mails.Start(t.Context())
	t.Cleanup(h.mails.Stop)
	return h
}

// subscribe makes the pusher of bob's device.
func (h *env) subscribe() {
	h.T.Helper()
	ctx := h.T.Context()
	_, err := h.Users.CreateAccount(ctx, auth.NewAccount{Username: "bob", Password: "wordpass"})
	h.OK(err)
	_, err = h.Users.Login(ctx, auth.LoginRequest{Type: "m.login.password", User: "bob", Password: "wordpass", DeviceID: "D"}, matrix.Client{})
	h.OK(err)
	h.OK(h.push.SetPusher(ctx, bob, "D", push.PusherRequest{
		AppID: new("m.email"), Pushkey: new(address), Kind: []byte(`"email"`), Data: []byte(`{}`),
		AppDisplayName: new("mail"), DeviceDisplayName: new("mail"), Lang: new("en"),
	}))
}

// pass moves the clock once everything that has happened so far was looked at.
func (h *env) pass(d time.Duration) {
	h.T.Helper()
	h.settle()
	h.clock.Advance(d)
	h.settle()
}

// settle returns when the work has nothing left to do.
func (h *env) settle() {
	h.T.Helper()
	h.OK(h.mails.follower.Await(h.T.Context(), h.Journal.Position()))
	matrixtest.Until(h.T, "the work is done", func() bool {
		var waiting int
		h.OK(h.Pool.QueryRow(h.T.Context(), `SELECT count(*) FROM pushers WHERE kind = 'email' AND due <= $1`, h.clock.Now()).Scan(&waiting))
		return waiting == 0
	})
}

func (h *env) wantMails(n int) {
	h.T.Helper()
	if got := len(h.server.Mails()); got != n {
		h.T.Fatalf("%d mails have been sent, want %d", got, n)
	}
}

// read has bob read a room.
func (h *env) read(room, id string) {
	h.T.Helper()
	h.OK(h.receipts.Send(h.T.Context(), bob, room, receipts.Read, id, nil))
}

func TestDigestAfterAQuietTime(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.Send(alice, room, "hello\r\nbob")
	h.pass(quiet / 2)
	h.Send(alice, room, "<b>again</b>")
	h.SendEvent(alice, room, "m.room.encrypted", `{"algorithm":"x","ciphertext":"c2VjcmV0"}`)
	h.wantMails(0)
	h.pass(quiet/2 + time.Minute)
	h.wantMails(1)
	mail := h.server.Last(t)
	if mail.To != address || mail.Header.Get("Subject") != "3 unread messages on example.org" {
		t.Errorf("to %s: %q", mail.To, mail.Header.Get("Subject"))
	}
	for _, want := range []string{alice + ": hello bob", "<b>again</b>", "an encrypted message", "https://matrix.to/#/" + url.PathEscape(room)} {
		if !strings.Contains(mail.Plain, want) {
			t.Errorf("%q is not in\n%s", want, mail.Plain)
		}
	}
	if !strings.Contains(mail.HTML, "&lt;b&gt;again&lt;/b&gt;") || strings.Contains(mail.HTML+mail.Plain, "c2VjcmV0") {
		t.Errorf("HTML:\n%s", mail.HTML)
	}
	link := strings.Trim(mail.Header.Get("List-Unsubscribe"), "<>")
	if !strings.Contains(mail.Plain, link) || mail.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("headers: %v", mail.Header)
	}
}

func TestMailsGrowRarerUntilTheyAreRead(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.Send(alice, room, "one")
	h.pass(quiet + time.Minute)
	h.wantMails(1)
	h.Send(alice, room, "two")
	h.pass(quiet + time.Minute)
	h.wantMails(1)
	h.pass(firstPause)
	h.wantMails(2)
	if mail := h.server.Last(t); strings.Contains(mail.Plain, "one") || !strings.Contains(mail.Plain, "two") {
		t.Errorf("the second mail:\n%s", mail.Plain)
	}
	h.Send(alice, room, "three")
	h.pass(firstPause + quiet)
	h.wantMails(2)
	h.pass(firstPause)
	h.wantMails(3)
	h.read(room, h.Send(alice, room, "four"))
	h.Send(alice, room, "five")
	h.pass(quiet + time.Minute)
	h.wantMails(4)
}

func TestWhatIsReadIsNotMailed(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.read(room, h.Send(alice, room, "read"))
	h.pass(2 * quiet)
	h.wantMails(0)
	gone := h.Send(alice, room, "redacted")
	h.Redact(alice, room, gone, "")
	h.pass(2 * quiet)
	h.wantMails(0)
}

func TestARestartLosesNoMail(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.Send(alice, room, "before")
	h.settle()
	h.mails.Stop()
	h.clock.Advance(quiet + time.Minute)
	again := envOn(t, h.Pool, h.server, h.clock)
	again.settle()
	again.wantMails(1)
	again.pass(2 * firstPause)
	again.wantMails(1)
}

func TestAMailServerThatFailsIsTriedAgain(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.server.Refuse(errors.New("not now"))
	h.Send(alice, room, "one")
	h.pass(quiet + time.Minute)
	h.server.Refuse(nil)
	h.wantMails(0)
	h.pass(firstRetry + time.Minute)
	h.wantMails(1)
}

// TestAMailThatIsNeverTakenIsGivenUp: later ones are not.
func TestAMailThatIsNeverTakenIsGivenUp(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.server.Refuse(errors.New("never"))
	h.Send(alice, room, "lost")
	for range maxAttempts {
		h.pass(firstRetry << maxAttempts)
	}
	h.server.Refuse(nil)
	h.pass(longestPause)
	h.wantMails(0)
	h.Send(alice, room, "one more")
	h.pass(quiet + time.Minute)
	h.wantMails(1)
	if plain := h.server.Last(t).Plain; strings.Contains(plain, "lost") {
		t.Errorf("the mail is\n%s", plain)
	}
}

// TestOneProcessSends: of two, each with its own connections.
func TestOneProcessSends(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	other := envOn(t, h.Pool, h.server, h.clock)
	room := h.Public(bob)
	h.OK(other.Journal.CatchUp(t.Context(), h.Journal.Position()))
	other.Send(alice, room, "one")
	h.OK(h.Journal.CatchUp(t.Context(), other.Journal.Position()))
	h.pass(quiet + time.Minute)
	other.settle()
	h.wantMails(1)
}

func TestAnAddressOfNobodyGetsNoMail(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	room := h.Public(bob)
	h.Send(alice, room, "one")
	h.settle()
	h.disowned = true
	h.pass(quiet + time.Minute)
	h.wantMails(0)
	if list, err := h.push.Pushers(t.Context(), bob); err != nil || len(list) != 0 {
		t.Errorf("pushers: %v, %v", list, err)
	}
}

func TestUnsubscribe(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	link, err := url.Parse(h.mails.UnsubscribeLink(bob, address))
	h.OK(err)
	user, to, token := link.Query().Get("user_id"), link.Query().Get("address"), link.Query().Get("token")
	for _, bad := range [][3]string{{alice, to, token}, {user, "eve@example.org", token}, {user, to, token[1:]}, {user, to, ""}, {"", "", ""}} {
		matrixtest.WantCode(t, h.mails.Unsubscribe(t.Context(), bad[0], bad[1], bad[2]), matrix.Forbidden)
	}
	for range 2 {
		h.OK(h.mails.Unsubscribe(t.Context(), user, to, token))
		if list, err := h.push.Pushers(t.Context(), bob); err != nil || len(list) != 0 {
			t.Errorf("pushers: %v, %v", list, err)
		}
	}
}

func TestADigestIsBounded(t *testing.T) {
	h := newEnv(t)
	h.subscribe()
	h.settle()
	for i := range maxRooms + 2 {
		room := h.Public(bob)
		h.Send(alice, room, fmt.Sprintf("room %d %s", i, strings.Repeat("x", 1000)))
	}
	room := h.Public(bob)
	for i := range maxMessages + 3 {
		h.Send(alice, room, fmt.Sprintf("message %d", i))
	}
	h.pass(quiet + time.Minute)
	h.wantMails(1)
	plain := h.server.Last(t).Plain
	for _, want := range []string{"(3 more before)", "There is more in 3 other rooms.", "message 7"} {
		if !strings.Contains(plain, want) {
			t.Errorf("%q is not in\n%s", want, plain)
		}
	}
	if strings.Contains(plain, "message 2") || strings.Contains(plain, strings.Repeat("x", maxText)) {
		t.Errorf("too much is in\n%s", plain)
	}
}

func TestPauseGrowsToADay(t *testing.T) {
	t.Parallel()
	for mails, want := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 6: longestPause, 1000: longestPause} {
		if got := pauseAfter(mails); got != want {
			t.Errorf("after %d mails: %v, want %v", mails, got, want)
		}
	}
}

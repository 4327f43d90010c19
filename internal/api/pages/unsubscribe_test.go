package pages_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/api/client"
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/personal/emailpusher"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/roomstest"
	"homeserver/internal/server"
)

// subscribed is a server on which bob gets mails, and the link in them.
type subscribed struct {
	*matrixtest.Client
	push *push.Service
	link string // without the address of the server
}

func newSubscribed(t *testing.T) *subscribed {
	t.Helper()
	env := roomstest.Open(t, roomstest.Options{})
	s := &subscribed{push: push.New(push.Options{
		Pool: env.Pool, Journal: env.Journal, Rooms: env.Rooms.Timeline,
		OwnsEmail: func(context.Context, string, string) (bool, error) { return true, nil },
	})}
	mails := emailpusher.New(emailpusher.Options{Push: s.push, Signer: roomstest.Signer})
	env.Run()
	ctx := t.Context()
	_, err := env.Users.CreateAccount(ctx, auth.NewAccount{Username: "bob", Password: "wordpass"})
	env.OK(err)
	_, err = env.Users.Login(ctx, auth.LoginRequest{Type: "m.login.password", User: "bob", Password: "wordpass", DeviceID: "D"}, matrix.Client{})
	env.OK(err)
	env.OK(s.push.SetPusher(ctx, roomstest.Bob, "D", push.PusherRequest{
		AppID: new("m.email"), Pushkey: new("bob@example.org"), Kind: []byte(`"email"`), Data: []byte(`{}`),
		AppDisplayName: new("mail"), DeviceDisplayName: new("mail"), Lang: new("en"),
	}))
	s.link = mails.UnsubscribeLink(roomstest.Bob, "bob@example.org")
	api, err := server.NewAPI(server.APIOptions{Services: client.Services{ServerName: "localhost"}, Mails: mails, HTTP: httpapi.Options{Logger: slog.New(slog.DiscardHandler)}})
	env.OK(err)
	s.Client = matrixtest.New(t, api.Handler())
	return s
}

func (s *subscribed) wantPushers(n int) {
	s.T.Helper()
	list, err := s.push.Pushers(s.T.Context(), roomstest.Bob)
	if err != nil || len(list) != n {
		s.T.Errorf("there are %d pushers, want %d: %v", len(list), n, err)
	}
}

// TestUnsubscribeByAMailProgram: it sends the POST of RFC 8058, without a token of access
// and without looking at a page. To look at one changes nothing.
func TestUnsubscribeByAMailProgram(t *testing.T) {
	t.Parallel()
	s := newSubscribed(t)
	if got := string(s.Do(http.MethodGet, s.link, nil).OK().Body); !strings.Contains(got, "bob@example.org") {
		t.Errorf("the page is\n%s", got)
	}
	wrong := strings.Replace(s.link, "bob%40example.org", "eve%40example.org", 1)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{wrong, emailpusher.UnsubscribePath, s.link + "x"} {
			if got := s.Do(method, path, nil); got.Status != http.StatusForbidden {
				t.Errorf("%s %s: %d", method, path, got.Status)
			}
		}
	}
	s.wantPushers(1)
	for range 2 {
		request := s.Request(http.MethodPost, s.link, "List-Unsubscribe=One-Click")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		s.Send(request).OK()
		s.wantPushers(0)
	}
}

func TestUnsubscribeInABrowser(t *testing.T) {
	t.Parallel()
	s, b := newSubscribed(t), openTab(t)
	b.open(s.BaseURL + s.link)
	b.readable()
	b.reloadBy("button")
	b.waitForText("[role=status]", "no more mails")
	b.readable()
	s.wantPushers(0)
}

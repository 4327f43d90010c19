package server

import (
	"context"
	"fmt"
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/clock"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/media"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
)

// Option is something that a program adds to a server, beside its configuration.
type Option func(*Server)

// Accounts makes accounts before the server answers.
func Accounts(accounts ...auth.NewAccount) Option {
	return Prepare(func(ctx context.Context, s *Services) error {
		for _, account := range accounts {
			if _, err := s.Accounts.CreateAccount(ctx, account); err != nil {
				return fmt.Errorf("make the account %s: %w", account.Username, err)
			}
		}
		return nil
	})
}

// preparation prepares a server by its services.
type preparation = func(ctx context.Context, s *Services) error

// Prepare has a function called once all services run, and before anybody is answered. Its error ends the
// start. Functions of several options are called in the order of the options.
func Prepare(do preparation) Option {
	return func(s *Server) { s.prepare = append(s.prepare, do) }
}

// hooks are what options change in a server.
type hooks struct {
	// wrap makes the handler for clients; nil: it is that of the API.
	wrap func(*httpapi.Endpoints, *ratelimit.Limits) (http.Handler, error)
	// oauthURL is where apps find the OAuth 2.0 API; empty: it is off.
	oauthURL string
	// clock is the time; nil: the real one.
	clock *clock.Clock
}

// Clock has the server judge by a clock that the program can move: what expires, ends or is due.
// The waits of connections, and for PostgreSQL, stay real, and so does the time of certificates.
func Clock(c *clock.Clock) Option {
	return func(s *Server) { s.hooks.clock = c }
}

// Around has clients served by a handler around the one of the endpoints, which may also switch the
// rate limits on and off. The listener for the
// operator is not changed. If the handler has a method Release, that is called when the server stops.
func Around(wrap func(*httpapi.Endpoints, *ratelimit.Limits) (http.Handler, error)) Option {
	return func(s *Server) { s.hooks.wrap = wrap }
}

// Services are the capabilities that a program may use to prepare a server.
type Services struct {
	ServerName  string
	Accounts    *auth.Service
	Profiles    *profile.Service
	Rooms       *rooms.Service
	Media       *media.Service
	Receipts    *receipts.Service
	AccountData *accountdata.Service
}

// shared returns those of the services that a program may use.
func (s *services) shared(serverName string) *Services {
	return &Services{
		ServerName: serverName, Accounts: s.auth, Profiles: s.profiles, Rooms: s.rooms, Media: s.media,
		Receipts: s.stream.receipts, AccountData: s.stream.data,
	}
}

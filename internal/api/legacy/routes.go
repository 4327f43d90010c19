// Package legacy has the endpoints that only earlier generations of the client-server
// API had, or had in another shape: thin adapters over the services of today. Those in
// the shape of today are in package client.
package legacy

import (
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/presence"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
	"time"
)

// Services are the services that the endpoints call.
type Services struct {
	Auth       *auth.Service
	Rooms      *rooms.Service
	Stream     *syncstream.Service
	Presence   *presence.Service
	ServerName string
	Now        func() time.Time // as of client.Services
}

// api has the endpoints as its methods.
type api struct{ Services }

// Routes returns the table of the endpoints of this package.
func Routes(services Services) []httpapi.Route {
	a := &api{services}
	return []httpapi.Route{
		httpapi.OnlyV1.Get("/register", httpapi.Reading, httpapi.Public(a.registrationFlows)),
		httpapi.OnlyV1.Post("/register", httpapi.Registering, httpapi.Public(a.registerV1)),
		httpapi.OnlyV1.Get("/publicRooms", httpapi.Searching, httpapi.Public(a.publicRoomsV1)),
		httpapi.Everywhere.Post("/tokenrefresh", httpapi.Reading, httpapi.Public(a.tokenRefresh)),
		httpapi.OnlyV2Alpha.Get("/stream", httpapi.Reading, httpapi.Public(a.noStream)),

		httpapi.SinceV1.Get("/initialSync", httpapi.Reading, httpapi.User(a.initialSync)),
		httpapi.SinceV1.Get("/rooms/{roomId}/initialSync", httpapi.Reading, httpapi.Guest(a.roomInitialSync)),
		httpapi.SinceV1.Get("/events", httpapi.Polling, httpapi.Guest(a.events)),
		httpapi.SinceV1.Get("/events/{eventId}", httpapi.Reading, httpapi.User(a.oneEvent)),

		httpapi.UntilR0.Get("/presence/list/{userId}", httpapi.Reading, httpapi.User(a.getPresenceList)),
		httpapi.UntilR0.Post("/presence/list/{userId}", httpapi.Storing, httpapi.User(a.postPresenceList)),
	}
}

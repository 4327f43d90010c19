// Package server has the endpoints that no client of a user calls: those for services
// that ask about users, by the server-server API, and those for operators and their
// tools.
package server

import (
	"context"

	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/thirdpartyinvite"
)

// Services are the services that the endpoints call.
type Services struct {
	Auth        *auth.Service
	Invitations *thirdpartyinvite.Service
	// Healthy, if set, says for /health whether the server can do its work.
	Healthy func(context.Context) error
	// Ready, if set, says for /ready whether the server wants to be sent requests.
	Ready func() bool
}

// api has the endpoints as its methods.
type api struct{ Services }

// Routes returns the table of the endpoints of this package.
func Routes(services Services) []httpapi.Route {
	a := &api{services}
	return []httpapi.Route{
		httpapi.Root.Get("/health", httpapi.Probing, httpapi.Public(a.health)),
		httpapi.Root.Get("/ready", httpapi.Probing, httpapi.Public(a.ready)),
		httpapi.Root.Get("/_synapse/admin/v1/register", httpapi.Reading, httpapi.Public(a.registrationNonce)),
		httpapi.Root.Post("/_synapse/admin/v1/register", httpapi.Changing, httpapi.Public(a.registerWithSharedSecret)),

		httpapi.Federation.Get("/openid/userinfo", httpapi.Reading, httpapi.Public(a.openIDUserInfo)),
		// The specifications name both methods.
		httpapi.Federation.Put("/3pid/onbind", httpapi.TakingBindings, httpapi.Public(a.onBind)),
		httpapi.Federation.Post("/3pid/onbind", httpapi.TakingBindings, httpapi.Public(a.onBind)),
	}
}

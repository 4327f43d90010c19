package api

import (
	"context"
	"net/http"
	"slices"

	"homeserver/internal/api/client"
	"homeserver/internal/api/legacy"
	"homeserver/internal/api/pages"
	"homeserver/internal/api/server"
	"homeserver/internal/httpapi"
)

// Options is what an API is made of.
type Options struct {
	client.Services

	// Healthy, if set, says for /health whether the server can do its work.
	Healthy func(context.Context) error
	// Ready, if set, says for /ready whether the server wants to be sent requests.
	Ready func() bool

	HTTP httpapi.Options // the accounts of Auth are its Sessions
}

// API answers requests by all endpoints there are.
type API struct {
	engine  *httpapi.Engine
	handler http.Handler
}

// New makes the API with all its routes. The error is one of wiring: metrics
// that are registered twice, a route that is there twice.
func New(o Options) (*API, error) {
	if o.Auth != nil { // tests of what needs no service have none
		o.HTTP.Sessions = o.Auth.Sessions
	}
	engine, err := httpapi.New(o.HTTP)
	if err != nil {
		return nil, err
	}
	handler, err := engine.Handler(routes(o))
	if err != nil {
		return nil, err
	}
	return &API{engine, handler}, nil
}

// routes is the route table: every endpoint of the server, once.
func routes(o Options) []httpapi.Route {
	return slices.Concat(
		client.Routes(o.Services),
		legacy.Routes(legacy.Services{Auth: o.Auth, Rooms: o.Rooms, Stream: o.Stream, Presence: o.Presence, ServerName: o.ServerName}),
		server.Routes(server.Services{Auth: o.Auth, Invitations: o.Invitations, Healthy: o.Healthy, Ready: o.Ready}),
		pages.Routes(pages.Services{Auth: o.Auth, Stages: o.Stages, Threepids: o.Threepids, ServerName: o.ServerName}),
	)
}

// Handler is the whole client-server API. It is to be served as [httpapi.Engine.Handler] says.
func (a *API) Handler() http.Handler { return a.handler }

// MetricsHandler serves the metrics of the server in Prometheus' format. It is
// meant for a listener of its own, since it has no access control.
func (a *API) MetricsHandler() http.Handler { return a.engine.MetricsHandler() }

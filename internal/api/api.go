package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/journal"
	"homeserver/internal/media"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/reports"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/syncstream"
)

// Options is what an API is made of.
type Options struct {
	Auth      *auth.Service
	Stages    *uia.Service
	Profile   *profile.Service
	Journal   *journal.Journal
	Rooms     *rooms.Service
	Stream    *syncstream.Service
	Data      *accountdata.Service
	Receipts  *receipts.Service
	Typing    *typing.Service
	Presence  *presence.Service
	Media     *media.Service
	Threepids *threepid.Service
	Push      *push.Service

	Searches    *search.Service
	Directory   *userdirectory.Service
	Invitations *thirdpartyinvite.Service
	Turn        *turn.Service
	Reports     *reports.Service

	ServerName    string // the part of user IDs after the colon
	PublicBaseURL string // where clients reach the server; empty: /.well-known/matrix/client is 404
	// MediaClosed answers downloads without a token as if there were no files.
	MediaClosed bool

	// Healthy, if set, says for /health whether the server can do its work.
	Healthy func(context.Context) error
	// Ready, if set, says for /ready whether the server wants to be sent requests.
	Ready func() bool

	HTTP httpapi.Options // the accounts of Auth are its Sessions
}

// API answers the client-server API over HTTP.
type API struct {
	auth      *auth.Service
	stages    *uia.Service
	profile   *profile.Service
	journal   *journal.Journal
	rooms     *rooms.Service
	stream    *syncstream.Service
	data      *accountdata.Service
	receipts  *receipts.Service
	typing    *typing.Service
	presence  *presence.Service
	media     *media.Service
	threepids *threepid.Service
	push      *push.Service

	searches    *search.Service
	directory   *userdirectory.Service
	invitations *thirdpartyinvite.Service
	turn        *turn.Service
	reports     *reports.Service

	serverName    string
	publicBaseURL string
	mediaClosed   bool
	healthy       func(context.Context) error
	isReady       func() bool
	now           func() time.Time

	engine  *httpapi.Engine
	handler http.Handler
}

// New builds the API with all its routes. The error is one of wiring: metrics
// that are registered twice, a route that is there twice.
func New(opts Options) (*API, error) {
	a := &API{
		auth:          opts.Auth,
		profile:       opts.Profile,
		journal:       opts.Journal,
		rooms:         opts.Rooms,
		stream:        opts.Stream,
		data:          opts.Data,
		receipts:      opts.Receipts,
		typing:        opts.Typing,
		presence:      opts.Presence,
		media:         opts.Media,
		stages:        opts.Stages,
		threepids:     opts.Threepids,
		push:          opts.Push,
		searches:      opts.Searches,
		directory:     opts.Directory,
		invitations:   opts.Invitations,
		turn:          opts.Turn,
		reports:       opts.Reports,
		now:           time.Now,
		serverName:    opts.ServerName,
		publicBaseURL: strings.TrimSuffix(opts.PublicBaseURL, "/"),
		mediaClosed:   opts.MediaClosed,
		healthy:       opts.Healthy,
		isReady:       opts.Ready,
	}
	if opts.Auth != nil { // tests of what needs no service have none
		opts.HTTP.Sessions = opts.Auth.Sessions
	}
	var err error
	if a.engine, err = httpapi.New(opts.HTTP); err != nil {
		return nil, err
	}
	if a.handler, err = a.engine.Handler(a.routes()); err != nil {
		return nil, err
	}
	return a, nil
}

// Handler is the whole client-server API. It is to be served as [httpapi.Engine.Handler] says.
func (a *API) Handler() http.Handler { return a.handler }

// MetricsHandler serves the metrics of the server in Prometheus' format. It is
// meant for a listener of its own, since it has no access control.
func (a *API) MetricsHandler() http.Handler { return a.engine.MetricsHandler() }

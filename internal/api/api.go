package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/auth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi/ratelimit"
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
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// Options is what an API is made of.
type Options struct {
	Auth      *auth.Service
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

	ServerName     string         // the part of user IDs after the colon
	PublicBaseURL  string         // where clients reach the server; empty: /.well-known/matrix/client is 404
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and X-Request-Id are believed

	// Room, if set, returns the error for requests that ask for more to be kept in the
	// database, while there is too little room for it.
	Room func() error

	// MediaClosed answers downloads without a token as if there were no files.
	MediaClosed bool

	Limits *ratelimit.Limits // how often callers may do what; nil: as often as they like
	Bounds Bounds            // how much may go on at once

	MaxBodyBytes  int64         // of a JSON body; 0 means 1 MiB
	BodyTimeout   time.Duration // for a body to arrive; 0 means 30 s
	AnswerTimeout time.Duration // for an answer to be read, plus 1 s for each 16 KiB; 0 means 30 s

	// Healthy, if set, says for /health whether the server can do its work.
	Healthy func(context.Context) error
	// Ready, if set, says for /ready whether the server wants to be sent requests.
	Ready  func() bool
	Logger *slog.Logger // nil: the default one; see [LogRequestIDs]
	// NoRequestLines leaves out the line that is logged for each request.
	NoRequestLines bool
	Metrics        *prometheus.Registry // nil: one of its own
}

// API answers the client-server API over HTTP.
type API struct {
	auth      *auth.Service
	profile   *profile.Service
	journal   *journal.Journal
	rooms     *rooms.Service
	timeline  *timeline.Store
	published *directory.Service
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

	serverName     string
	publicBaseURL  string
	trustedProxies []netip.Prefix
	room           func() error
	mediaClosed    bool
	limits         *ratelimit.Limits
	bounds         *bounds
	maxBodyBytes   int64
	bodyTimeout    time.Duration
	answerTimeout  time.Duration
	healthy        func(context.Context) error
	isReady        func() bool
	now            func() time.Time

	log      *slog.Logger
	quiet    bool // no line for each request
	registry *prometheus.Registry
	metrics  *metrics
	handler  http.Handler

	run      string        // prefix of this run's request IDs
	requests atomic.Uint64 // count of them
}

// New builds the API with all its routes. The error is one of wiring: metrics
// that are registered twice, a route that is there twice.
func New(opts Options) (*API, error) {
	a := &API{
		auth:           opts.Auth,
		profile:        opts.Profile,
		journal:        opts.Journal,
		rooms:          opts.Rooms,
		timeline:       opts.Rooms.Timeline,
		published:      opts.Rooms.Directory,
		stream:         opts.Stream,
		data:           opts.Data,
		receipts:       opts.Receipts,
		typing:         opts.Typing,
		presence:       opts.Presence,
		media:          opts.Media,
		threepids:      opts.Threepids,
		push:           opts.Push,
		searches:       opts.Searches,
		directory:      opts.Directory,
		invitations:    opts.Invitations,
		turn:           opts.Turn,
		reports:        opts.Reports,
		now:            time.Now,
		serverName:     opts.ServerName,
		publicBaseURL:  strings.TrimSuffix(opts.PublicBaseURL, "/"),
		trustedProxies: opts.TrustedProxies,
		room:           opts.Room,
		mediaClosed:    opts.MediaClosed,
		limits:         opts.Limits,
		maxBodyBytes:   orDefault(opts.MaxBodyBytes, 1<<20),
		bodyTimeout:    orDefault(opts.BodyTimeout, 30*time.Second),
		answerTimeout:  orDefault(opts.AnswerTimeout, 30*time.Second),
		healthy:        opts.Healthy,
		isReady:        opts.Ready,
		log:            orDefault(opts.Logger, slog.Default()),
		quiet:          opts.NoRequestLines,
		registry:       orDefault(opts.Metrics, prometheus.NewRegistry()),
		run:            strings.ToLower(rand.Text()[:8]) + "-",
	}
	var err error
	if a.metrics, err = newMetrics(a.registry); err != nil {
		return nil, err
	}
	if a.bounds, err = newBounds(opts.Bounds, a.registry); err != nil {
		return nil, err
	}
	if a.handler, err = a.build(a.routes()); err != nil {
		return nil, err
	}
	return a, nil
}

// Handler is the whole client-server API. It is to be served by a http.Server
// with a ReadHeaderTimeout and an IdleTimeout, but no ReadTimeout and no
// WriteTimeout, which would end long polls.
func (a *API) Handler() http.Handler { return a.handler }

// build puts the stages before the routes of the table.
func (a *API) build(table []route) (http.Handler, error) {
	router, err := a.mount(table)
	if err != nil {
		return nil, err
	}
	// The fastest level: an answer is compressed once and read once, and the
	// machine has better things to do. No zstd: its encoders hold megabytes.
	compress, err := gzhttp.NewWrapper(
		gzhttp.MinSize(1<<10),
		gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.EnableZstd(false),
	)
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	return a.observe(compress(router)), nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

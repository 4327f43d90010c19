package httpapi

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// Sessions knows access tokens. Package auth has the one of users.
type Sessions interface {
	// Authenticate returns whose access token it is: M_UNKNOWN_TOKEN for one that is
	// nobody's.
	Authenticate(ctx context.Context, token string) (matrix.Session, error)
	// Knows reports, without asking the database, whether the token has been used
	// lately.
	Knows(token string) bool
	// Seen is called with each request of a session.
	Seen(matrix.Session, matrix.Client)
	// Watch watches the token of a request that may wait for long: the context ends with it,
	// and end, which is to be called, returns the error of Authenticate if it has ended.
	Watch(ctx context.Context, token string) (waiting context.Context, end func() error, err error)
}

// AppServices knows application services. Package appservice has those that are registered.
type AppServices interface {
	// ByToken returns the service whose as_token it is, from memory; the zero value if it is
	// nobody's.
	ByToken(token string) matrix.AppService
	// ActAs returns the session of a user and a device of the service; "" for the user: its
	// sender, "" for the device: none. M_FORBIDDEN for other users, M_UNKNOWN_DEVICE.
	ActAs(ctx context.Context, service matrix.AppService, userID, deviceID string) (matrix.Session, error)
}

// Options has all that an Engine needs.
type Options struct {
	Sessions       Sessions       // nil: there are only endpoints that look at no access token
	AppServices    AppServices    // nil: there are none
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and X-Request-Id are believed

	// Room, if set, returns the error for requests that ask for more to be kept in the
	// database, while there is too little room for it.
	Room func() error

	// UnknownPage, if set, is the answer to a browser at a path that nothing is served at, outside of /_matrix.
	UnknownPage http.Handler

	Limits *ratelimit.Limits // how often callers may do what; nil: as often as they like
	Bounds Bounds            // how much may go on at once

	MaxBodyBytes  int64         // of a JSON body; 0 means 1 MiB
	BodyTimeout   time.Duration // for a body to arrive; 0 means 30 s
	AnswerTimeout time.Duration // for an answer to be read, plus 1 s for each 16 KiB; 0 means 30 s

	Logger *slog.Logger // nil: the default one; see [LogRequestIDs]
	// NoRequestLines leaves out the line that is logged for each request.
	NoRequestLines bool
	Metrics        *prometheus.Registry // nil: one of its own
}

// Engine answers requests over HTTP by the endpoints of a table.
type Engine struct {
	sessions       Sessions
	appServices    AppServices
	trustedProxies []netip.Prefix
	room           func() error
	unknownPage    http.Handler
	limits         *ratelimit.Limits
	bounds         *bounds
	maxBodyBytes   int64
	bodyTimeout    time.Duration
	answerTimeout  time.Duration
	compress       func(http.Handler) http.HandlerFunc

	log      *slog.Logger
	quiet    bool // no line for each request
	registry *prometheus.Registry
	metrics  *metrics
	outcomes *outcomes

	run      string        // prefix of this run's request IDs
	requests atomic.Uint64 // count of them
}

// New makes an Engine. The error is one of wiring: metrics that are registered twice.
func New(o Options) (*Engine, error) {
	e := &Engine{
		sessions:       o.Sessions,
		appServices:    o.AppServices,
		trustedProxies: o.TrustedProxies,
		room:           o.Room,
		unknownPage:    o.UnknownPage,
		limits:         o.Limits,
		maxBodyBytes:   orDefault(o.MaxBodyBytes, 1<<20),
		bodyTimeout:    orDefault(o.BodyTimeout, 30*time.Second),
		answerTimeout:  orDefault(o.AnswerTimeout, 30*time.Second),
		log:            orDefault(o.Logger, slog.Default()),
		quiet:          o.NoRequestLines,
		registry:       orDefault(o.Metrics, prometheus.NewRegistry()),
		run:            strings.ToLower(rand.Text()[:8]) + "-",
	}
	var err error
	if e.metrics, err = newMetrics(e.registry); err != nil {
		return nil, err
	}
	e.outcomes = &outcomes{metrics: e.metrics, log: e.log.Handler(), all: map[outcomeKey]*outcome{}}
	if e.bounds, err = newBounds(o.Bounds, e.registry); err != nil {
		return nil, err
	}
	if e.compress, err = newCompress(); err != nil {
		return nil, err
	}
	return e, nil
}

// Handler serves the endpoints of the table. It is to be served by a http.Server with
// a ReadHeaderTimeout and an IdleTimeout, but no ReadTimeout and no WriteTimeout,
// which would end long polls. The error names a route that is there twice.
func (e *Engine) Handler(table []Route) (*Endpoints, error) { return e.mount(table) }

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

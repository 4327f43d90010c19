package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/matrix"
	"homeserver/internal/ratelimit"
)

// Bounds is how much may go on at once. Zero values mean the defaults.
type Bounds struct {
	Requests     int   // requests being worked on; 0: 1000
	Polls        int   // waiting /sync and /events; 0: 10,000
	PollsPerUser int   // those of one user; 0: 200
	Transfers    int   // files on their way, and requests that wait for other servers; 0: 1000
	BodyBytes    int64 // of the bodies in memory; 0: 64 MiB
}

// errOverloaded answers what would be too much at the moment.
var errOverloaded = &matrix.Error{
	Code: matrix.Unknown, Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	Message: "The server is too busy at the moment: try again in a second",
}

// bound bounds how much of something goes on at once, in total and for one caller.
// What goes on is counted, never queued, so that the answer comes at once and a
// server that is busy remembers nothing about those whom it refuses.
type bound struct {
	total, each int64
	refused     prometheus.Counter

	mu      sync.Mutex
	held    int64
	callers map[string]int64
}

// enter counts n more for a caller, until leave takes them back. errOverloaded
// where that is too much in total, M_LIMIT_EXCEEDED where it is for one caller.
func (b *bound) enter(caller string, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.callers[caller] + n
	if b.held+n > b.total {
		b.refused.Inc()
		return errOverloaded
	}
	if own > b.each {
		b.refused.Inc()
		return ratelimit.TooMany(time.Second)
	}
	b.held += n
	b.callers[caller] = own
	return nil
}

func (b *bound) leave(caller string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	if b.callers[caller] -= n; b.callers[caller] == 0 {
		delete(b.callers, caller)
	}
}

// bounds are those of an API.
type bounds struct{ requests, polls, transfers, bodies *bound }

// newBounds makes the bounds. One caller may have half of everything but the polls,
// whose number is of its own: a few people must not be able to lock out all others.
func newBounds(o Bounds, registry *prometheus.Registry) (*bounds, error) {
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "homeserver_http_overload_refused_total",
		Help: "Requests refused because too much was going on at once, by what there was too much of (the keys of limits).",
	}, []string{"bound"})
	if err := registry.Register(refused); err != nil {
		return nil, fmt.Errorf("register HTTP metrics: %w", err)
	}
	make := func(name string, total, each int64) *bound {
		return &bound{total: total, each: each, refused: refused.WithLabelValues(name), callers: map[string]int64{}}
	}
	requests, transfers := int64(orDefault(o.Requests, 1000)), int64(orDefault(o.Transfers, 1000))
	bodies := orDefault(o.BodyBytes, 64<<20)
	return &bounds{
		requests:  make("requests", requests, half(requests)),
		polls:     make("polls", int64(orDefault(o.Polls, 10_000)), int64(orDefault(o.PollsPerUser, 200))),
		transfers: make("transfers", transfers, half(transfers)),
		bodies:    make("request_memory", bodies, half(bodies)),
	}, nil
}

func half(n int64) int64 { return (n + 1) / 2 }

// takePlace takes the request's place among those of its load, which givePlace gives up.
func (a *API) takePlace(x *exchange) error {
	var in *bound
	switch load := x.route.work.load; {
	case load == nothing:
		return nil
	case load == transferring:
		in = a.bounds.transfers
	case load == awaiting && x.waits():
		in = a.bounds.polls
	default:
		in = a.bounds.requests
	}
	if err := in.enter(x.caller(), 1); err != nil {
		return err
	}
	x.place = in
	return nil
}

// waits reports whether a long poll will wait. One that asks for an answer at once,
// as the first /sync of a client does, is work like any other.
func (x *exchange) waits() bool {
	if x.query.Get("timeout") == "0" {
		return false
	}
	return x.query.Has("since") || x.query.Has("from") || x.route.path != "/sync"
}

// givePlace gives up the request's place, if it still has one.
func (x *exchange) givePlace() {
	if x.place != nil {
		x.place.leave(x.caller(), 1)
		x.place = nil
	}
}

// holdBody makes the memory of the request's body count as so many bytes.
func (a *API) holdBody(x *exchange, bytes int64) error {
	if err := a.bounds.bodies.enter(x.caller(), bytes-x.bodyHeld); err != nil {
		return err
	}
	x.bodyHeld = bytes
	return nil
}

// dropBody makes it count no more.
func (a *API) dropBody(x *exchange) {
	if x.bodyHeld > 0 {
		a.bounds.bodies.leave(x.caller(), x.bodyHeld)
		x.bodyHeld, x.body = 0, nil
	}
}

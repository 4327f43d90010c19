package httpapi

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/gauge"
	"homeserver/internal/reserve"
)

// Bounds is how much may go on at once. Zero values mean the defaults.
type Bounds struct {
	Requests     int   // requests being worked on; 0: 1000
	Polls        int   // waiting /sync and /events; 0: 10,000
	PollsPerUser int   // those of one user; 0: 200
	Transfers    int   // files on their way, and requests that wait for other servers; 0: 1000
	BodyBytes    int64 // of the bodies in memory; 0: 64 MiB
	AnswerBytes  int64 // of what is read and answered; 0: 128 MiB
}

// bounds are those of an Engine.
type bounds struct {
	requests, polls, transfers, bodies *gauge.Gauge
	answers                            *reserve.Memory
}

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
	make := func(name string, total, each int64) *gauge.Gauge {
		return gauge.New(gauge.Options{Total: total, Each: each, Refused: refused.WithLabelValues(name)})
	}
	requests, transfers := int64(orDefault(o.Requests, 1000)), int64(orDefault(o.Transfers, 1000))
	bodies := orDefault(o.BodyBytes, 64<<20)
	return &bounds{
		requests:  make("requests", requests, half(requests)),
		polls:     make("polls", int64(orDefault(o.Polls, 10_000)), int64(orDefault(o.PollsPerUser, 200))),
		transfers: make("transfers", transfers, half(transfers)),
		bodies:    make("request_memory", bodies, half(bodies)),
		answers:   reserve.New(orDefault(o.AnswerBytes, 128<<20), refused.WithLabelValues("answers")),
	}, nil
}

func half(n int64) int64 { return (n + 1) / 2 }

// reservePlace reserves the request's place among those of its load, which freePlace
// frees.
func (e *Engine) reservePlace(x *exchange) error {
	var in *gauge.Gauge
	switch load := x.route.Work.load; {
	case load == nothing:
		return nil
	case load == transferring:
		in = e.bounds.transfers
	case load == awaiting && x.waits():
		in = e.bounds.polls
	default:
		in = e.bounds.requests
	}
	holder := x.caller()
	if in == e.bounds.polls && x.user != "" {
		holder = x.user // one service may wait for many users
	}
	if err := in.TryEnter(holder, 1); err != nil {
		return err
	}
	x.place, x.holder = in, holder
	return nil
}

// waits reports whether a long poll will wait. One that asks for an answer at once,
// as the first /sync of a client does, is work like any other.
func (x *exchange) waits() bool {
	if x.query.Get("timeout") == "0" {
		return false
	}
	return x.query.Has("since") || x.query.Has("from") || x.route.Path != "/sync"
}

// freePlace frees the request's place, if it still has one.
func (x *exchange) freePlace() {
	if x.place != nil {
		x.place.Leave(x.holder, 1)
		x.place = nil
	}
}

// holdBody makes the memory of the request's body count as so many bytes.
func (e *Engine) holdBody(x *exchange, bytes int64) error {
	if err := e.bounds.bodies.TryEnter(x.caller(), bytes-x.bodyHeld); err != nil {
		return err
	}
	x.bodyHeld = bytes
	return nil
}

// dropBody makes it count no more.
func (e *Engine) dropBody(x *exchange) {
	if x.bodyHeld > 0 {
		e.bounds.bodies.Leave(x.caller(), x.bodyHeld)
		x.bodyHeld, x.body = 0, nil
	}
}

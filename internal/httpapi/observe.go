package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/reserve"
)

// statusClientGone stands in the access log and in the metrics for a request
// whose client went away before it was answered.
const statusClientGone = 499

// exchange is one request and its answer: what the stages of the way learn of
// it and what the access log tells. It is the ResponseWriter that the stages
// below it write to.
type exchange struct {
	http.ResponseWriter
	engine *Engine

	id      string
	client  netip.Addr // the real client's, behind trusted proxies too
	started time.Time
	route   *Route // nil: no such endpoint
	user    string // empty: nobody, or not yet known
	query   url.Values
	body    []byte

	generation Generation

	counted  *ratelimit.Claim // for the kind of work
	place    *gauge.Gauge     // where the request counts at the moment; nil: nowhere
	bodyHeld int64            // how much of the memory for bodies is its
	account  *reserve.Account // of what is read and answered; nil: not yet

	status int // 0: nothing was written yet
	bytes  int64
	gone   bool // the client went away while it was being served
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

// WriteHeader passes the status on and remembers it.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write passes the bytes on and counts them.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// observe is the outermost stage: whatever happens inside, the answer has its
// headers, and the log and the metrics hear of it.
func (e *Engine) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := peerAddress(r)
		x := &exchange{ResponseWriter: w, engine: e, started: time.Now(), client: peer}
		x.id = e.newRequestID()
		if e.trusted(peer) {
			x.client = e.forwardedFor(r, peer)
			if id := r.Header.Get("X-Request-Id"); isRequestID(id) {
				x.id = id
			}
		}
		setCommonHeaders(w.Header(), x.id)
		e.metrics.inFlight.Inc()
		defer e.finish(x, r)

		if r.Method == http.MethodOptions {
			x.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	})
}

// The values of headers that never change; shared, so never appended to.
var (
	corsOrigin  = []string{"*"}
	corsMethods = []string{"GET, POST, PUT, DELETE, OPTIONS"}
	corsHeaders = []string{"X-Requested-With, Content-Type, Authorization"}
	corsExposed = []string{"Retry-After, Content-Disposition, Content-Range, ETag"}
	corsMaxAge  = []string{"86400"}
	noStore     = []string{"no-store"}
	nosniff     = []string{"nosniff"}
)

// SetCORSHeaders sets the headers of section "Web Browser Clients", and lets scripts
// read those headers of answers that say something which the body does not.
func SetCORSHeaders(h http.Header) {
	h["Access-Control-Allow-Origin"] = corsOrigin
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsHeaders
	h["Access-Control-Expose-Headers"] = corsExposed
	h["Access-Control-Max-Age"] = corsMaxAge
}

// setCommonHeaders sets what every answer carries: the headers for browsers, and
// what keeps an answer with somebody's messages or tokens out of caches and from
// being taken for a page.
func setCommonHeaders(h http.Header, requestID string) {
	SetCORSHeaders(h)
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = nosniff
	h["X-Request-Id"] = []string{requestID}
}

// finish is deferred: it turns a panic into a 500, and writes the line in the
// access log. A panic after the answer has begun ends the connection, so that
// nobody takes half an answer for a whole one.
func (e *Engine) finish(x *exchange, r *http.Request) {
	abort := false
	if cause := recover(); cause != nil {
		err, _ := cause.(error)
		wanted := errors.Is(err, http.ErrAbortHandler)
		abort = wanted || x.status != 0
		if !wanted {
			e.log.ErrorContext(r.Context(), "panic while answering",
				"request_id", x.id, "panic", cause, "stack", string(debug.Stack()))
		}
		if !abort {
			e.writeError(r.Context(), x, errInternal)
		}
	}
	x.givePlace()
	e.dropBody(x)
	if x.account != nil {
		x.account.Close()
	}
	e.metrics.inFlight.Dec()
	status := x.outcome()
	duration := time.Since(x.started)
	e.metrics.observe(x, r.Method, status, duration)
	e.logAccess(x, r, status, duration)
	if abort {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http is told to end the connection
	}
}

func (x *exchange) outcome() int {
	switch {
	case x.gone:
		return statusClientGone
	case x.status == 0:
		return http.StatusOK
	default:
		return x.status
	}
}

// logAccess writes one line for each request: never the query, which may hold
// an access token, and the path itself only where there is no endpoint to name.
func (e *Engine) logAccess(x *exchange, r *http.Request, status int, duration time.Duration) {
	if e.quiet || !e.log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("method", Clip(r.Method, 16)))
	if x.route != nil {
		attrs = append(attrs, slog.String("route", x.route.Path))
	} else {
		attrs = append(attrs, slog.String("path", Clip(r.URL.Path, 128)))
	}
	attrs = append(attrs,
		slog.Int("status", status),
		slog.Int64("bytes", x.bytes),
		slog.Duration("duration", duration),
		slog.String("client", x.client.String()),
		slog.String("request_id", x.id))
	if x.user != "" {
		attrs = append(attrs, slog.String("user", x.user))
	}
	e.log.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// newRequestID gives an ID that is unique for this server's run and, by its
// random prefix, in practice for all.
func (e *Engine) newRequestID() string {
	id := make([]byte, 0, 24)
	id = append(id, e.run...)
	return string(strconv.AppendUint(id, e.requests.Add(1), 36))
}

// isRequestID reports whether an ID that a proxy handed on may stand in our log.
func isRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, c := range []byte(id) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

// Clip cuts a text off, which keeps what a stranger sent from filling the log.
func Clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

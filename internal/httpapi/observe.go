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
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// statusClientGone is the status in the access log and in the metrics for a request
// whose client went away before it was answered.
const statusClientGone = 499

// exchange is one request and its answer: all that the stages of the way learn of it
// and that the access log needs. It is the ResponseWriter that the stages below it
// write to.
type exchange struct {
	http.ResponseWriter
	engine  *Engine
	request *http.Request
	context requestContext // of the request, for all below
	params  *chi.Context   // the route that chi has found, and the parts of its path

	id      string
	ids     [1]string  // room for the header's list of it
	client  netip.Addr // the real client's, behind trusted proxies too
	address string     // the same as text
	started time.Time
	route   *Route            // nil: no such endpoint
	token   string            // the access token; empty: none, or not yet known
	user    string            // empty: nobody, or not yet known
	service matrix.AppService // whose as_token was sent
	query   url.Values
	body    []byte

	generation Generation

	counted  *ratelimit.Claim // for the kind of work
	place    *gauge.Gauge     // where the request counts at the moment; nil: nowhere
	holder   string           // for whom it counts there
	bodyHeld int64            // how much of the memory for bodies is its
	account  *reserve.Account // of what is read and answered; nil: not yet

	compressed bool // the answer is, if it is long enough

	status int // 0: nothing was written yet
	bytes  int64
	gone   bool // the client went away while it was being served
}

// requestContext is the context of a request. It is made once for each, and has the
// values that have become known meanwhile: a layer for each value would be an object of
// its own, and each lookup would go through all of them.
type requestContext struct {
	context.Context
	x *exchange
}

// Value returns a value of the exchange, or else of the context beneath.
func (c *requestContext) Value(key any) any {
	switch key {
	case exchangeKey{}:
		return c.x
	case matrix.CallerKey{}:
		if c.x.account != nil {
			return c.x.caller()
		}
	case matrix.AppServiceKey{}:
		if c.x.service.ID != "" {
			return c.x.service
		}
	case reserve.AccountKey{}:
		return c.x.account
	}
	return c.Context.Value(key)
}

// routings are the contexts of chi that can be used again.
var routings = sync.Pool{New: func() any { return chi.NewRouteContext() }}

type exchangeKey struct{}

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

// Unwrap returns the writer below; http.ResponseController finds the connection by it.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// ServeHTTP is the outermost stage: whatever happens inside, the answer has its headers,
// a line in the log and its place in the metrics.
func (m *Endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := m.engine.newExchange(w, r)
	defer x.finish()
	if r.Method == http.MethodOptions {
		x.Header().Set("Access-Control-Max-Age", PreflightMaxAge)
		x.WriteHeader(http.StatusNoContent)
		return
	}
	if m.route(x) {
		m.engine.serve(x)
	}
}

// newExchange begins to observe a request, until finish.
func (e *Engine) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	peer, address := peerAddress(r)
	x := &exchange{
		ResponseWriter: w, engine: e, request: r, started: time.Now(), id: e.newRequestID(),
		client: peer, address: address, params: routings.Get().(*chi.Context),
	}
	x.context = requestContext{r.Context(), x}
	if e.trusted(peer) {
		x.client = e.forwardedFor(r, peer)
		x.address = x.client.String()
		if id := r.Header.Get("X-Request-Id"); isRequestID(id) {
			x.id = id
		}
	}
	x.ids[0] = x.id
	setCommonHeaders(w.Header(), x.ids[:])
	e.metrics.inFlight.Inc()
	return x
}

// The headers that never change; their values are shared, so never appended to.
var (
	corsHeaders = []header{
		{"Access-Control-Allow-Origin", []string{"*"}},
		{"Access-Control-Allow-Methods", []string{"GET, POST, PUT, DELETE, OPTIONS"}},
		{"Access-Control-Allow-Headers", []string{"X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match"}},
		{"Access-Control-Expose-Headers", []string{"Retry-After, Content-Disposition, Content-Range, ETag"}},
	}
	privateHeaders = []header{
		{"Cache-Control", []string{"no-store"}},
		{"X-Content-Type-Options", []string{"nosniff"}},
	}
)

type header struct {
	name  string
	value []string
}

// PreflightMaxAge is the value of Access-Control-Max-Age: for how many seconds a browser that
// has asked for permission, by OPTIONS, need not ask again.
const PreflightMaxAge = "86400"

// SetCORSHeaders sets the headers of section "Web Browser Clients", and allows scripts
// to read those headers of answers whose information the body does not have.
func SetCORSHeaders(h http.Header) {
	for _, c := range corsHeaders {
		h[c.name] = c.value
	}
}

// setCommonHeaders sets the headers of every answer: those for browsers, and those that
// keep an answer with a user's messages or tokens out of caches and from being rendered
// as a page. With the Content-Type they are eight, which a map has room for before it
// grows; a ninth would cost a tenth of the whole request, since net/http copies the map
// (BenchmarkVersions).
func setCommonHeaders(h http.Header, requestID []string) {
	SetCORSHeaders(h)
	for _, p := range privateHeaders {
		h[p.name] = p.value
	}
	h["X-Request-Id"] = requestID
}

// finish is deferred: it turns a panic into a 500, and writes the line in the access
// log. A panic after the answer has begun ends the connection, so that no client
// believes half an answer to be a whole one.
func (x *exchange) finish() {
	e, abort := x.engine, false
	if cause := recover(); cause != nil {
		err, _ := cause.(error)
		wanted := errors.Is(err, http.ErrAbortHandler)
		abort = wanted || x.status != 0
		if !wanted {
			e.log.ErrorContext(x.context.Context, "panic while answering",
				"request_id", x.id, "panic", cause, "stack", string(debug.Stack()))
		}
		if !abort {
			e.writeError(x, x, errInternal)
		}
	}
	x.freePlace()
	e.dropBody(x)
	if x.account != nil {
		x.account.Close()
	}
	x.params.Reset()
	routings.Put(x.params)
	e.metrics.inFlight.Dec()
	status := x.finalStatus()
	duration := time.Since(x.started)
	as := e.outcomes.of(x.route, x.request.Method, status)
	as.count(x.bytes, duration)
	e.logAccess(x, as, duration)
	if abort {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http is told to end the connection
	}
}

func (x *exchange) finalStatus() int {
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
func (e *Engine) logAccess(x *exchange, as *outcome, duration time.Duration) {
	ctx := x.context.Context // without the ID of the request, which the line has anyway
	if e.quiet || !e.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	// Not by a method of the logger, which would look for the place in the program.
	line := slog.NewRecord(x.started.Add(duration), slog.LevelInfo, "request", 0)
	if x.route == nil {
		line.AddAttrs(slog.String("method", Clip(x.request.Method, 16)), slog.String("path", Clip(x.request.URL.Path, 128)), slog.Int("status", as.status))
	}
	line.AddAttrs(slog.Int64("bytes", x.bytes), slog.Duration("duration", duration), slog.String("client", x.address), slog.String("request_id", x.id))
	if x.user != "" {
		line.AddAttrs(slog.String("user", x.user))
	}
	if x.service.ID != "" {
		line.AddAttrs(slog.String("app_service", x.service.ID))
	}
	_ = as.log.Handle(ctx, line) // an error of logging cannot be logged either
}

// newRequestID returns an ID that is unique for this server's run and, by its random
// prefix, in practice for all.
func (e *Engine) newRequestID() string {
	id := make([]byte, 0, 24)
	id = append(id, e.run...)
	return string(strconv.AppendUint(id, e.requests.Add(1), 36))
}

// isRequestID reports whether an ID of a proxy may be written to our log.
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

// Clip shortens a text, so that no stranger can fill the log.
func Clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

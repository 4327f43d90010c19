package control

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"homeserver/internal/clock"
	"homeserver/internal/devkit/faults"
	"homeserver/internal/devkit/filter"
	"homeserver/internal/devkit/recorder"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
)

// Prefix is where the endpoints are by which tests control the server.
const Prefix = "/_homeserver/dev"

// Options sets up a Kit.
type Options struct {
	// Reset, if set, makes the server as new; else there is no endpoint for it.
	Reset func(context.Context) error
	// FromNetwork has the endpoints answer other machines as well, and not only this one: in a
	// container, everybody else is another one.
	FromNetwork bool
}

// Kit is the state of the kit, which may be around one server after the other.
type Kit struct {
	Faults   *faults.Rules
	Requests *recorder.Recorder
	Clock    *clock.Clock
	o        Options
	limited  atomic.Bool // rate limits hold
}

// New makes a Kit with no faults and no requests.
func New(o Options) *Kit {
	return &Kit{Faults: &faults.Rules{}, Requests: recorder.NewRecorder(), Clock: &clock.Clock{}, o: o}
}

// Around returns the handler around the one of a server.
func (k *Kit) Around(server *httpapi.Endpoints, limits *ratelimit.Limits) (http.Handler, error) {
	stopping, stop := context.WithCancel(context.Background())
	control, err := k.newEndpoints(stopping, server, limits)
	if err != nil {
		stop()
		return nil, err
	}
	limits.Switch(k.limited.Load())
	return &handler{kit: k, server: server, control: control, stopping: stopping.Done(), stop: stop}, nil
}

// handler is the kit around a server.
type handler struct {
	kit     *Kit
	server  *httpapi.Endpoints
	control *httpapi.Endpoints // the kit's own
	// stopping is closed when the server stops.
	stopping <-chan struct{}
	stop     func()
}

// Release ends what waits here. The server calls it when it stops.
func (h *handler) Release() { h.stop() }

// ServeHTTP serves a request for the kit, or one for the server.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == Prefix || strings.HasPrefix(r.URL.Path, Prefix+"/"):
		if err := h.kit.o.checkCaller(r); err != nil {
			h.control.Refuse(w, r, err)
			return
		}
		h.control.ServeHTTP(w, r)
	case r.Method == http.MethodOptions: // asked by a browser, and not by the client in it
		h.server.ServeHTTP(w, r)
	default:
		h.observe(w, r)
	}
}

// observe serves a request, or has the fault that it meets do so, and records it before the client
// gets an answer.
func (h *handler) observe(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	asked := filter.Of(r, h.server)
	record := recorder.New(&asked, h.kit.Clock.Now())
	body := newBody(w, r)
	r = r.WithContext(r.Context()) // a copy
	r.Body = body
	answer := &answer{ResponseWriter: w, begins: func(status int) {
		body.readAhead()
		record.SetBody(body.kept, body.truncated)
		record.Status, record.DurationMS = status, float64(time.Since(started).Microseconds())/1000
		h.kit.Requests.Add(record)
	}}
	defer answer.begin(0) // unless there is one
	if fault := h.kit.Faults.Take(&asked); fault != nil {
		record.FaultID = fault.ID
		fault.Serve(answer, r, h.server, body.readAhead, h.stopping)
	} else {
		h.server.ServeHTTP(answer, r)
	}
	answer.begin(http.StatusOK) // one without a body
}

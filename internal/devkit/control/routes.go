package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"homeserver/internal/devkit/faults"
	"homeserver/internal/devkit/filter"
	"homeserver/internal/devkit/recorder"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// endpoints has the handlers of the kit's endpoints.
type endpoints struct {
	*Kit
	server   *httpapi.Endpoints // that the kit is around
	limits   *ratelimit.Limits
	stopping context.Context // ends when the server stops
}

func (k *Kit) newEndpoints(stopping context.Context, server *httpapi.Endpoints, limits *ratelimit.Limits) (*httpapi.Endpoints, error) {
	engine, err := httpapi.New(httpapi.Options{Logger: server.Log(), NoRequestLines: true})
	if err != nil {
		return nil, err
	}
	e := &endpoints{k, server, limits, stopping}
	at := httpapi.Prefixes{{Path: Prefix, Generation: httpapi.NoGeneration}}
	routes := []httpapi.Route{
		at.Post("/faults", httpapi.Probing, httpapi.Public(e.addFault)),
		at.Get("/faults", httpapi.Probing, httpapi.Public(e.listFaults)),
		at.Delete("/faults", httpapi.Probing, httpapi.Public(e.clearFaults)),
		at.Delete("/faults/{faultId}", httpapi.Probing, httpapi.Public(e.removeFault)),
		at.Get("/requests", httpapi.Probing, httpapi.Public(e.findRequests)),
		at.Delete("/requests", httpapi.Probing, httpapi.Public(e.clearRequests)),
		at.Get("/clock", httpapi.Probing, httpapi.Public(e.showClock)),
		at.Post("/clock", httpapi.Probing, httpapi.Public(e.moveClock)),
		at.Get("/rate-limits", httpapi.Probing, httpapi.Public(e.showLimits)),
		at.Put("/rate-limits", httpapi.Probing, httpapi.Public(e.switchLimits)),
	}
	if k.o.Reset != nil {
		routes = append(routes, at.Post("/reset", httpapi.Probing, httpapi.Public(e.reset)))
	}
	return engine.Handler(routes)
}

func (e *endpoints) reset(r *httpapi.Request) (any, error) {
	return httpapi.Empty{}, e.o.Reset(r.Context())
}

func (e *endpoints) addFault(r *httpapi.Request) (any, error) {
	var rule faults.Rule
	if err := r.DecodeStrictly(&rule); err != nil {
		return nil, err
	}
	if err := rule.Check(e.server); err != nil {
		return nil, err
	}
	id, ok := e.Faults.Add(rule)
	if !ok {
		return nil, matrix.Errorf(matrix.LimitExceeded, "there are %d faults, which is the most: take some back", faults.MaxRules)
	}
	return map[string]string{"fault_id": id}, nil
}

func (e *endpoints) listFaults(*httpapi.Request) (any, error) {
	return map[string][]faults.Fault{"faults": e.Faults.List()}, nil
}

func (e *endpoints) clearFaults(*httpapi.Request) (any, error) {
	e.Faults.Clear()
	return httpapi.Empty{}, nil
}

func (e *endpoints) removeFault(r *httpapi.Request) (any, error) {
	if !e.Faults.Remove(r.Param("faultId")) {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such fault")
	}
	return httpapi.Empty{}, nil
}

// How long a test waits for requests.
const (
	usualWait = 30 * time.Second
	maxWait   = 10 * time.Minute
	// maxWaitFor is how many may be waited for.
	maxWaitFor = 100_000
)

// found is the answer with requests.
type found struct {
	Requests []recorder.Request `json:"requests"`
	Next     int64              `json:"next"`
}

// requestParams are the parameters of the query for requests.
var requestParams = []string{"method", "route", "user_id", "device_id", "since", "wait_for", "timeout_ms"}

func (e *endpoints) findRequests(r *httpapi.Request) (any, error) {
	for name := range r.QueryValues() {
		if !slices.Contains(requestParams, name) { // misspelt, it would pick all
			return nil, matrix.Errorf(matrix.InvalidParam, "%q is not known here: known are %s", httpapi.Clip(name, 256), strings.Join(requestParams, ", "))
		}
	}
	f := filter.Filter{Method: r.Query("method"), Route: r.Query("route"), UserID: r.Query("user_id"), DeviceID: r.Query("device_id")}
	if err := f.Check(e.server); err != nil {
		return nil, err
	}
	since, err := r.QueryInt("since", 0)
	if err != nil {
		return nil, err
	}
	count, err := r.QueryInt("wait_for", 0)
	if err != nil {
		return nil, err
	}
	timeout, err := r.QueryInt("timeout_ms", int(usualWait.Milliseconds()))
	if err != nil {
		return nil, err
	}
	if count > maxWaitFor || timeout > int(maxWait.Milliseconds()) {
		return nil, matrix.Errorf(matrix.InvalidParam, "wait_for must be at most %d, and timeout_ms at most %d", maxWaitFor, maxWait.Milliseconds())
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(timeout)*time.Millisecond)
	defer cancel()
	defer context.AfterFunc(e.stopping, cancel)()
	requests, newest := e.Requests.Wait(ctx, &f, int64(since), count)
	return found{requests, newest}, nil
}

func (e *endpoints) clearRequests(*httpapi.Request) (any, error) {
	e.Requests.Clear()
	return httpapi.Empty{}, nil
}

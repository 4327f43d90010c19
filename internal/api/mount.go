package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"homeserver/internal/matrix"
)

// prefixes are the generations of the API that have an endpoint.
type prefixes []string

// route is one row of the route table: an endpoint, and where it is served.
type route struct {
	prefixes prefixes
	method   string
	path     string // as the specification writes it, below the prefix
	work     work   // what calling it means to the server
	handle   handler
}

// handler is what answers a request, and who may call it.
type handler struct {
	access access
	answer func(*http.Request, matrix.Session) (any, error)
	// streams says that the handler reads the body itself, by [API.streamBody].
	streams bool
}

// access is what an endpoint asks of its callers.
type access int

const (
	accessPublic   access = iota // tokens are not looked at
	accessOptional               // a token need not be there, but must be valid
	accessUser                   // a valid token, not of a guest
	accessGuest                  // a valid token, also of a guest
)

// public is for endpoints that look at no access token.
func public(h func(*http.Request) (any, error)) handler {
	return handler{access: accessPublic, answer: func(r *http.Request, _ matrix.Session) (any, error) { return h(r) }}
}

// optional is for endpoints that do more for those who send an access token:
// without one, the session is the zero value.
func optional(h func(*http.Request, matrix.Session) (any, error)) handler {
	return handler{access: accessOptional, answer: h}
}

// user is for endpoints that need a valid access token, and are not for guests.
func user(h func(*http.Request, matrix.Session) (any, error)) handler {
	return handler{access: accessUser, answer: h}
}

// guest is for endpoints that need a valid access token and may be called by guests:
// those that section "Guest Access" lists.
func guest(h func(*http.Request, matrix.Session) (any, error)) handler {
	return handler{access: accessGuest, answer: h}
}

// streaming is for endpoints that take files: the body is not read before the
// handler runs, and the limits of JSON bodies do not hold for it.
func streaming(h handler) handler {
	h.streams = true
	return h
}

// resource is everything that is served at one path, by method.
type resource struct {
	api    *API
	routes map[string]*route
	allow  string
}

// mount builds the router of the table. The error names a row that stands there
// twice.
func (a *API) mount(table []route) (http.Handler, error) {
	resources := map[string]*resource{}
	for i := range table {
		rt := &table[i]
		for _, prefix := range rt.prefixes {
			pattern := prefix + rt.path
			res := resources[pattern]
			if res == nil {
				res = &resource{api: a, routes: map[string]*route{}}
				resources[pattern] = res
			}
			if res.routes[rt.method] != nil {
				return nil, fmt.Errorf("route %s %s is there twice", rt.method, pattern)
			}
			res.routes[rt.method] = rt
		}
	}
	mux := chi.NewMux()
	mux.Use(routeAsSent)
	mux.NotFound(a.unknownPath)
	for pattern, res := range resources {
		res.allow = res.allowed()
		mux.Handle(pattern, res)
	}
	return mux, nil
}

// routeAsSent makes chi look at the path with its escapes still in place, so
// that an encoded slash inside an identifier doesn't part it, and so that each
// parameter can be decoded exactly once. It forgives doubled slashes in front
// and one slash at the end: no endpoint is told from another by that, and the
// empty state key may be written either way. The method is the resource's
// business, not the router's.
func routeAsSent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		for strings.HasPrefix(path, "//") {
			path = path[1:]
		}
		if len(path) > 1 {
			path = strings.TrimSuffix(path, "/")
		}
		rctx := chi.RouteContext(r.Context())
		rctx.RoutePath = path
		rctx.RouteMethod = http.MethodGet
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP picks the endpoint by method. HEAD is GET without its body, which
// net/http leaves out. 405 M_UNRECOGNIZED with Allow for any other method.
func (res *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt := res.routes[method]
	if rt == nil {
		w.Header().Set("Allow", res.allow)
		res.api.refuse(w, r, errWrongMethod)
		return
	}
	res.api.serve(w, r, rt)
}

func (res *resource) allowed() string {
	methods := slices.Collect(maps.Keys(res.routes))
	if res.routes[http.MethodGet] != nil {
		methods = append(methods, http.MethodHead)
	}
	methods = append(methods, http.MethodOptions)
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

func (a *API) unknownPath(w http.ResponseWriter, r *http.Request) {
	a.refuse(w, r, errUnknownPath)
}

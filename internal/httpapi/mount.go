package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"homeserver/internal/matrix"
)

// Route is one row of the route table: an endpoint, and where it is served.
type Route struct {
	Prefixes Prefixes
	Method   string
	Path     string // as the specification writes it, below the prefix
	Work     Work   // its cost to the server
	Handler  Handler
}

// Handler is the function that answers a request, with the callers that it is for. It
// returns the value that is encoded as the JSON of the answer, or a http.Handler that
// writes the answer itself.
type Handler struct {
	Access Access
	answer func(*Request, matrix.Session) (any, error)
	// Streams says that the handler reads the body itself, by [Request.Stream].
	Streams bool
	// WhileLocked says that users may call it whose account is locked.
	WhileLocked bool
	// Active says that users may not call it whose account is suspended.
	Active bool
	// Large says that the body may be larger than others: see [LargeBody].
	Large bool
}

// Access is the kind of callers that an endpoint is for.
type Access int

// The kinds of callers.
const (
	AccessPublic   Access = iota // tokens are not looked at
	AccessOptional               // a token need not be there, but must be valid
	AccessUser                   // a valid token, not of a guest
	AccessGuest                  // a valid token, also of a guest
	AccessAnyone                 // a token need not be there, but must be valid, and may be of a guest
)

// Public is for endpoints that look at no access token.
func Public(h func(*Request) (any, error)) Handler {
	return Handler{Access: AccessPublic, answer: func(r *Request, _ matrix.Session) (any, error) { return h(r) }}
}

// Optional is for endpoints that do more for those who send an access token:
// without one, the session is the zero value.
func Optional(h func(*Request, matrix.Session) (any, error)) Handler {
	return Handler{Access: AccessOptional, answer: h}
}

// Anyone is Optional for endpoints that guests may call with their tokens, too.
func Anyone(h func(*Request, matrix.Session) (any, error)) Handler {
	return Handler{Access: AccessAnyone, answer: h}
}

// User is for endpoints that need a valid access token, and are not for guests.
func User(h func(*Request, matrix.Session) (any, error)) Handler {
	return Handler{Access: AccessUser, answer: h}
}

// Guest is for endpoints that need a valid access token and may be called by guests:
// those that section "Guest Access" lists.
func Guest(h func(*Request, matrix.Session) (any, error)) Handler {
	return Handler{Access: AccessGuest, answer: h}
}

// Streaming is for endpoints that take files: the body is not read before the
// handler runs, and the limits of JSON bodies do not hold for it.
func Streaming(h Handler) Handler {
	h.Streams = true
	return h
}

// WhileLocked is for endpoints that users may call whose account is locked: "Account locking".
func WhileLocked(h Handler) Handler {
	h.WhileLocked = true
	return h
}

// Active is for endpoints that users may not call whose account is suspended: what others would see, or what would
// change where the user takes part. "Account suspension".
func Active(h Handler) Handler {
	h.Active = true
	return h
}

// LargeBody is for endpoints whose body has many small parts, such as the keys of a backup: it
// may have up to 16 MiB and 200,000 values, where that is more than other bodies may.
func LargeBody(h Handler) Handler {
	h.Large = true
	return h
}

const (
	largeBodyBytes  = 16 << 20
	largeBodyValues = 200_000
)

// large reports whether the request may have a large body.
func (x *exchange) large() bool { return x.route != nil && x.route.Handler.Large }

// resource is everything that is served at one path, by method.
type resource struct {
	generation Generation
	routes     map[string]*Route
	allow      string
}

// Endpoints is the route table as it is served.
type Endpoints struct {
	engine    *Engine
	patterns  *chi.Mux // finds the pattern of a path; its handlers are not used
	resources map[string]*resource
}

// mount builds the router of the table. The error names a row that is there twice.
func (e *Engine) mount(table []Route) (*Endpoints, error) {
	m := &Endpoints{engine: e, patterns: chi.NewMux(), resources: map[string]*resource{}}
	for i := range table {
		rt := &table[i]
		for _, prefix := range rt.Prefixes {
			pattern := prefix.Path + rt.Path
			res := m.resources[pattern]
			if res == nil {
				res = &resource{generation: prefix.Generation, routes: map[string]*Route{}}
				m.resources[pattern] = res
				m.patterns.Handle(pattern, http.NotFoundHandler())
			}
			if res.routes[rt.Method] != nil {
				return nil, fmt.Errorf("route %s %s is there twice", rt.Method, pattern)
			}
			res.routes[rt.Method] = rt
		}
	}
	for _, res := range m.resources {
		res.allow = res.allowed()
	}
	return m, nil
}

// route finds the endpoint, and reports whether there is one. 404 and 405 M_UNRECOGNIZED, the
// latter with Allow.
func (m *Endpoints) route(x *exchange) bool {
	_, res, rt := m.find(x)
	if res == nil {
		m.engine.refuseUnknown(x)
		return false
	}
	if rt == nil {
		x.Header().Set("Allow", res.allow)
		m.engine.refuse(x, x, errWrongMethod)
		return false
	}
	x.route, x.generation = rt, res.generation
	return true
}

// find returns the pattern of the path with what is there, if anything is, and the row of the
// method. The path is looked up with its escapes still in place, so that an encoded slash inside
// an identifier doesn't split it, and so that each parameter can be decoded exactly once. It may
// have doubled slashes in front and one slash at the end: no two endpoints differ by that, and
// the empty state key may be written either way. The endpoint is picked by the method here, and
// not by chi. HEAD is GET without its body, which net/http leaves out.
func (m *Endpoints) find(x *exchange) (pattern string, res *resource, rt *Route) {
	path := x.request.URL.EscapedPath()
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	pattern = m.patterns.Find(x.params, http.MethodGet, path)
	if res = m.resources[pattern]; res == nil {
		return "", nil, nil
	}
	method := x.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return pattern, res, res.routes[method]
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

package httpapi

import (
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"homeserver/internal/matrix"
)

// Identity is the endpoint and the caller of a request.
type Identity struct {
	// Path is the endpoint's path as the specification writes it, below the prefix, and Pattern
	// the same with the prefix that was used; "" if there is no such endpoint.
	Path, Pattern string
	// Session is the caller; the zero value if the request has no valid access token.
	Session matrix.Session
}

// Identify finds the endpoint and the caller of a request without serving it: for a handler
// around this one. It reads nothing of the body.
func (m *Endpoints) Identify(r *http.Request) Identity {
	x := &exchange{engine: m.engine, request: r, params: routings.Get().(*chi.Context)}
	defer func() {
		x.params.Reset()
		routings.Put(x.params)
	}()
	x.context = requestContext{r.Context(), x}
	var found Identity
	if pattern, _, rt := m.find(x); rt != nil {
		found.Path, found.Pattern = rt.Path, pattern
	}
	if x.readQuery() != nil {
		return found
	}
	if x.token = x.accessToken(); x.token != "" && m.engine.sessions != nil {
		m.engine.recognize(x, AccessUser)
		// An error means that it is nobody's, or will be answered when the request is served.
		found.Session, _ = m.engine.whose(x)
	}
	return found
}

// Log returns the logger of the requests.
func (m *Endpoints) Log() *slog.Logger { return m.engine.log }

// Has reports whether there is an endpoint with the path, as the specification writes it below
// the prefix, or with the prefix. The names of its parameters do not matter.
func (m *Endpoints) Has(path string) bool {
	wanted := WithoutNames(path)
	for pattern, res := range m.resources {
		if WithoutNames(pattern) == wanted {
			return true
		}
		for _, rt := range res.routes {
			if WithoutNames(rt.Path) == wanted {
				return true
			}
		}
	}
	return false
}

// WithoutNames returns the path of an endpoint with {} for each of its parameters.
func WithoutNames(path string) string {
	short := make([]byte, 0, len(path))
	inside := false
	for _, c := range []byte(path) {
		if c == '}' {
			inside = false
		}
		if !inside {
			short = append(short, c)
		}
		if c == '{' {
			inside = true
		}
	}
	return string(short)
}

// Refuse answers a request with an error instead of serving it. The answer has all that other
// answers have, such as the headers for browsers, its line in the log and its place in the
// metrics.
func (m *Endpoints) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	x := m.engine.newExchange(w, r)
	defer x.finish()
	_, _, x.route = m.find(x)
	m.engine.refuse(x, x, err)
}

package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"homeserver/internal/matrixtest"
)

// bench is an Engine without accounts, for tests of what all endpoints share; its
// routes are the test's own, and it keeps what is logged.
type bench struct {
	*Engine
	log *matrixtest.Log
}

// serve runs a server with the routes, which are all mounted at the root.
func (b bench) serve(t testing.TB, table ...Route) *matrixtest.Client {
	t.Helper()
	c := matrixtest.New(t, b.handle(t, table...))
	c.Prefix = ""
	return c
}

func (b bench) handle(t testing.TB, table ...Route) http.Handler {
	t.Helper()
	for i := range table {
		if table[i].Prefixes == nil {
			table[i].Prefixes = Root
		}
	}
	handler, err := b.Handler(table)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func newBench(t testing.TB, opts Options) bench {
	t.Helper()
	b := bench{log: matrixtest.NewLog()}
	opts.Logger = slog.New(LogRequestIDs(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	var err error
	if b.Engine, err = New(opts); err != nil {
		t.Fatal(err)
	}
	return b
}

// get returns a route that answers GET at a path.
func get(path string, h func(*Request) (any, error)) Route {
	return Route{Method: http.MethodGet, Path: path, Handler: Public(h)}
}

// post returns a route that answers POST at a path.
func post(path string, h func(*Request) (any, error)) Route {
	return Route{Method: http.MethodPost, Path: path, Handler: Public(h)}
}

func ok(*Request) (any, error) { return Empty{}, nil }

// record sends a request straight to a handler.
func record(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestNewRefusesMetricsRegisteredTwice(t *testing.T) {
	t.Parallel()
	first := newBench(t, Options{})
	if _, err := New(Options{Metrics: first.registry}); err == nil {
		t.Error("a second Engine on the same registry was not refused")
	}
}

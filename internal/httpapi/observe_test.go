package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/reserve"
)

func panicking(*Request) (any, error) {
	panic("out of cheese")
}

func TestEveryAnswerHasTheCommonHeaders(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{MaxBodyBytes: 10}).serve(t, get("/ok", ok), get("/panic", panicking),
		post("/post", decoding),
		Route{Method: http.MethodGet, Path: "/token", Handler: User(func(*Request, matrix.Session) (any, error) { return Empty{}, nil })})
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/ok", "", 200},
		{"HEAD", "/ok", "", 200},
		{"OPTIONS", "/ok", "", 204},
		{"OPTIONS", "/token", "", 204},
		{"OPTIONS", "/nothing", "", 204},
		{"OPTIONS", "/panic", "", 204},
		{"GET", "/nothing", "", 404},
		{"PUT", "/ok", "", 405},
		{"GET", "/panic", "", 500},
		{"GET", "/token", "", 401},
		{"POST", "/post", "garbage", 400},
		{"POST", "/post", strings.Repeat("x", 11), 413},
	} {
		answer := c.Do(test.method, test.path, test.body)
		if answer.Status != test.status {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, answer.Status, test.status)
		}
		for header, want := range map[string]string{
			"Access-Control-Allow-Origin":   "*",
			"Access-Control-Allow-Methods":  "GET, POST, PUT, DELETE, OPTIONS",
			"Access-Control-Allow-Headers":  "X-Requested-With, Content-Type, Authorization, If-Match, If-None-Match",
			"Access-Control-Expose-Headers": "Retry-After, Content-Disposition, Content-Range, ETag",
			"Cache-Control":                 "no-store",
			"X-Content-Type-Options":        "nosniff",
		} {
			if got := answer.Header.Values(header); !cmp.Equal(got, []string{want}) {
				t.Errorf("%s %s: %s is %q, want %q", test.method, test.path, header, got, want)
			}
		}
		if answer.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no request ID", test.method, test.path)
		}
		if age := answer.Header.Get("Access-Control-Max-Age"); (age == "86400") != (test.method == "OPTIONS") {
			t.Errorf("%s %s: Access-Control-Max-Age is %q", test.method, test.path, age)
		}
	}
}

// A map that holds more than eight grows to twice the size, in net/http's copy too.
func TestShortAnswersHaveNoMoreHeadersThanASmallMapHolds(t *testing.T) {
	t.Parallel()
	handler := newBench(t, Options{}).handle(t, get("/ok", ok), get("/pieces", func(*Request) (any, error) { return inPieces{}, nil }))
	for _, path := range []string{"/ok", "/pieces"} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if headers := answer.Header(); answer.Code != http.StatusOK || len(headers) > 8 {
			t.Errorf("%s: %d, %d headers: %v", path, answer.Code, len(headers), headers)
		}
	}
}

// inPieces is an answer that would be sent in pieces if it were long.
type inPieces struct{}

func (inPieces) WriteJSON(_ context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{}`...)
	return nil
}

func TestOptionsRunsNothing(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/it", func(*Request) (any, error) {
		t.Error("the handler ran")
		return Empty{}, nil
	}))
	if answer := c.Do("OPTIONS", "/it", nil); answer.Status != 204 || len(answer.Body) != 0 {
		t.Errorf("got %d %q", answer.Status, answer.Body)
	}
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	c := b.serve(t, get("/panic", panicking), get("/ok", ok))
	answer := c.Do("GET", "/panic", nil).Refused(500, "M_UNKNOWN")
	if strings.Contains(string(answer.Body), "cheese") {
		t.Errorf("the client is told of the panic: %s", answer.Body)
	}
	log := b.log.Wait(t, "status=500")
	for _, want := range []string{"out of cheese", "observe_test.go", "request_id=" + answer.Header.Get("X-Request-Id")} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	c.Do("GET", "/ok", nil).OK()
}

func TestPanicInTheMiddleOfAnAnswerEndsTheConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	for name, cause := range map[string]any{"panic": "out of cheese", "abort": http.ErrAbortHandler} {
		handler, err := b.Handler([]Route{{Prefixes: Root, Method: http.MethodGet, Path: "/it", Handler: Public(func(*Request) (any, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, `{"half":`)
				panic(cause)
			}), nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/it", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", "identity") // or else the half would be kept back
		answer, err := server.Client().Do(request)
		if err == nil {
			_, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close() // it was only read
		}
		if err == nil {
			t.Errorf("%s: half an answer looks like a whole one", name)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	ask := func(c *matrixtest.Client, id string) string {
		request := c.Request("GET", "/ok", nil)
		request.Header.Set("X-Request-Id", id)
		return c.Send(request).OK().Header.Get("X-Request-Id")
	}
	stranger := newBench(t, Options{}).serve(t, get("/ok", ok))
	first, second := ask(stranger, "mine"), ask(stranger, "mine")
	if first == "mine" || first == second {
		t.Errorf("a stranger's ID: got %q and %q", first, second)
	}
	proxy := newBench(t, Options{TrustedProxies: []netip.Prefix{loopback}}).serve(t, get("/ok", ok))
	if got := ask(proxy, "a-B_1.2:3"); got != "a-B_1.2:3" {
		t.Errorf("a proxy's ID: got %q", got)
	}
	for _, bad := range []string{"", `a"b`, "a b", strings.Repeat("a", 129)} {
		if got := ask(proxy, bad); got == bad || got == "" {
			t.Errorf("bad ID %q: got %q", bad, got)
		}
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	a := newBench(t, Options{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
	}}).Engine
	for _, test := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.5:1234", nil, "203.0.113.5"},
		{"203.0.113.5:1234", []string{"198.51.100.1"}, "203.0.113.5"},
		{"10.0.0.1:1234", nil, "10.0.0.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"192.0.2.1, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"192.0.2.1", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1:1234", []string{"198.51.100.1:5555"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"[2001:db8::1]:5555"}, "2001:db8::1"},
		{"10.0.0.1:1234", []string{"198.51.100.1, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1, nonsense, 10.0.0.2"}, "10.0.0.2"},
		{"[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"[fd00::1]:1234", []string{"2001:db8::1"}, "2001:db8::1"},
		{"@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		request := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		request.RemoteAddr = test.peer
		request.Header["X-Forwarded-For"] = test.forwarded
		x := a.newExchange(httptest.NewRecorder(), request)
		if x.client.String() != test.want || x.address != test.want {
			t.Errorf("%s %q: got %s (%s), want %s", test.peer, test.forwarded, x.client, x.address, test.want)
		}
		x.finish()
	}
}

func (b bench) scrape(t *testing.T) string {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
	return record(b.MetricsHandler(), request).Body.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	waiting, release := make(chan struct{}), make(chan struct{})
	c := b.serve(t, get("/room/{id}", ok), get("/panic", panicking), get("/poll", func(*Request) (any, error) {
		close(waiting)
		<-release
		return Empty{}, nil
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Do("GET", "/poll", nil)
	}()
	<-waiting
	if text := b.scrape(t); !strings.Contains(text, "homeserver_http_requests_in_flight 1") {
		t.Errorf("the waiting request is not in flight:\n%s", text)
	}
	close(release)
	<-done
	for _, request := range []string{"GET /room/1", "GET /room/2", "GET /a", "GET /b", "BREW /room/1", "BREW2 /c", "GET /panic"} {
		method, path, _ := strings.Cut(request, " ")
		c.Do(method, path, nil)
	}
	b.log.Wait(t, "status=500")
	text := b.scrape(t)
	for _, want := range []string{
		`homeserver_http_requests_total{code="200",method="GET",route="/room/{id}"} 2`,
		`homeserver_http_requests_total{code="404",method="GET",route="unknown"} 2`,
		`homeserver_http_requests_total{code="404",method="unknown",route="unknown"} 1`,
		`homeserver_http_requests_total{code="500",method="GET",route="/panic"} 1`,
		`homeserver_http_request_duration_seconds_count{method="GET",route="/poll"} 1`,
		`homeserver_http_response_bytes_total{method="GET",route="/room/{id}"} 6`, // {} and a line feed, twice
		`homeserver_http_requests_in_flight 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
}

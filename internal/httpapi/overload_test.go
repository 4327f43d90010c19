package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/gauge"
	"homeserver/internal/matrixtest"
)

// gate is a handler that keeps requests until it is opened.
type gate struct {
	entered chan struct{}
	opened  chan struct{}
	sent    sync.WaitGroup
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 100), opened: make(chan struct{})} }

func (g *gate) answer(r *Request) (any, error) {
	g.entered <- struct{}{}
	select {
	case <-g.opened:
	case <-r.Context().Done():
	}
	return Empty{}, nil
}

func (g *gate) route(path string, kind Work) Route {
	return Route{Method: http.MethodGet, Path: path, Work: kind, Handler: Public(g.answer)}
}

// fill sends two requests from an address, and returns once they are kept.
func (g *gate) fill(c *matrixtest.Client, path, address string) {
	for range 2 {
		g.sent.Go(func() { c.Send(from(c, "GET", path, address)).OK() })
	}
	for range 2 {
		<-g.entered
	}
}

// open ends the waiting of all requests, and returns when they are answered.
func (g *gate) open() {
	close(g.opened)
	g.sent.Wait()
}

// from makes the client's requests come from another address. What is answered late
// should have been refused.
func from(c *matrixtest.Client, method, path, address string) *http.Request {
	ctx, cancel := context.WithTimeout(c.T.Context(), time.Minute)
	c.T.Cleanup(cancel)
	r := c.Request(method, path, nil).WithContext(ctx)
	r.Header.Set("X-Forwarded-For", address)
	return r
}

func TestTooManyRequestsAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind  Work
		query string
		bound string
	}{
		"work":                        {Reading, "", "requests"},
		"transfers":                   {Downloading, "", "transfers"},
		"polls":                       {Polling, "?since=s1&timeout=30000", "polls"},
		"polls that want no waiting":  {Polling, "?since=s1&timeout=0", "requests"},
		"events wait without a token": {Polling, "", "polls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{
				Bounds:         Bounds{Requests: 4, Transfers: 4, Polls: 4, PollsPerUser: 2},
				TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			})
			g, probe := newGate(), get("/probe", ok)
			probe.Work = Probing
			path := "/gate" + test.query
			c := b.serve(t, g.route("/gate", test.kind), probe, get("/other", ok))
			g.fill(c, path, "192.0.2.1")

			// One caller may have half.
			answer := c.Send(from(c, "GET", path, "192.0.2.1")).Refused(429, "M_LIMIT_EXCEEDED")
			if answer.At("retry_after_ms") == nil || answer.Header.Get("Retry-After") != "1" {
				t.Errorf("it is not said when to come again: %s", answer.Body)
			}
			g.fill(c, path, "192.0.2.2")
			answer = c.Send(from(c, "GET", path, "192.0.2.3")).Refused(503, "M_UNKNOWN")
			if answer.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After: %q", answer.Header.Get("Retry-After"))
			}
			c.Do("GET", "/probe", nil).OK()
			if test.bound != "requests" {
				c.Do("GET", "/other", nil).OK() // what waits takes nothing from what works
			}
			if text, want := b.scrape(t), fmt.Sprintf("homeserver_http_overload_refused_total{bound=%q} 2", test.bound); !strings.Contains(text, want) {
				t.Errorf("the metrics lack %s", want)
			}

			g.open()
			c.Send(from(c, "GET", path, "192.0.2.3")).OK()
			for _, in := range []*gauge.Gauge{b.bounds.requests, b.bounds.transfers, b.bounds.polls} {
				awaitHeld(in, func(held int64) bool { return held == 0 })
				if in.Callers() != 0 {
					t.Errorf("%v still count", in.Callers())
				}
			}
		})
	}
}

// awaitHeld waits until as much counts as is wanted. Requests are done with a moment
// after their answers have come.
func awaitHeld(g *gauge.Gauge, enough func(int64) bool) {
	for !enough(g.Held()) {
		runtime.Gosched()
	}
}

// The first /sync of a client is work, and does not wait.
func TestWhichPollsWait(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]bool{
		"/sync":                       false,
		"/sync?timeout=30000":         false,
		"/sync?since=s1":              true,
		"/sync?since=s1&timeout=0":    false,
		"/sync?since=s1&timeout=1000": true,
		"/events":                     true,
		"/events?from=s1&timeout=0":   false,
	} {
		r := httptest.NewRequest(http.MethodGet, request, nil)
		x := &exchange{request: r, route: &Route{Path: r.URL.Path}}
		if err := x.readQuery(); err != nil {
			t.Fatal(err)
		}
		if got := x.waits(); got != want {
			t.Errorf("%s waits: %v, want %v", request, got, want)
		}
	}
}

// Half a body holds up nobody: those who send slowly have no place among those who
// are worked on yet, and only what they have sent counts.
func TestHalfABodyHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Bounds: Bounds{Requests: 2, BodyBytes: 2 << 20}})
	handler := b.handle(t, post("/it", ok))
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	for range 20 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // the end of the test
		if _, err := io.WriteString(conn, "POST /it HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	c := matrixtest.At(t, server.URL, server.Client())
	c.Prefix = ""
	for range 20 {
		c.Do("POST", "/it", `{"a":1}`).OK()
	}
}

// The bodies of all requests together have a bound, of which one caller has half.
func TestBodiesAreBoundedTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Bounds: Bounds{BodyBytes: 1 << 20}})
	server := httptest.NewServer(b.handle(t, post("/it", ok)))
	t.Cleanup(server.Close)
	c := matrixtest.At(t, server.URL, server.Client())
	c.Prefix = ""
	large := `{"a":"` + strings.Repeat("x", 500<<10) + `"}`
	c.Do("POST", "/it", large).OK()

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the end of the test
	if _, err := fmt.Fprintf(conn, "POST /it HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(large), large[:400<<10]); err != nil {
		t.Fatal(err)
	}
	awaitHeld(b.bounds.bodies, func(held int64) bool { return held >= 400<<10 })
	c.Do("POST", "/it", large).Refused(429, "M_LIMIT_EXCEEDED")
	c.Do("POST", "/it", `{}`).OK()
	if _, err := io.WriteString(conn, large[400<<10:]); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", answer, err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Error(err)
	}
	c.Do("POST", "/it", large).OK()
	awaitHeld(b.bounds.bodies, func(held int64) bool { return held == 0 })
}

func TestBodiesOfAnyLengthArriveWhole(t *testing.T) {
	t.Parallel()
	var got int
	c := newBench(t, Options{}).serve(t, post("/it", func(r *Request) (any, error) {
		got = len(r.x.body)
		return Empty{}, nil
	}))
	for _, size := range []int{1, firstBodyBytes - 1, firstBodyBytes, firstBodyBytes + 1, 2 * firstBodyBytes, 100_000, 1 << 20} {
		c.Do("POST", "/it", strings.Repeat("x", size)).OK()
		if got != size {
			t.Errorf("%d of %d bytes have arrived", got, size)
		}
		r := c.Request("POST", "/it", nil)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", size))), -1
		if c.Send(r).OK(); got != size {
			t.Errorf("in pieces, %d of %d bytes have arrived", got, size)
		}
	}
}

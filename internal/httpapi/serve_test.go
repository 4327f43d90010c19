package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// queries answers with one parameter of the query.
func queries(name string) func(*Request) (any, error) {
	return func(r *Request) (any, error) { return r.Query(name), nil }
}

const inlineFilter = `{"room":{"timeline":{"limit":1}}}`

func TestQueryAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/sync", queries("filter")))
	for raw, want := range map[string]string{
		"":                                  ``,
		"filter=":                           ``,
		"filter=0":                          `0`,
		"filter=%7B%22a%22%3A1%7D":          `{"a":1}`,
		"filter=a+b":                        `a b`,
		"filter=a;b&since=s1":               `a;b`,
		"since=s1;filter=a&filter=b":        `b`,
		"filter=a&filter=b":                 `a`,
		"access_token=x&filter=y&=&&z":      `y`,
		"filter=ü":                          `ü`,
		"filter=a=b":                        `a=b`,
		"filter=%25":                        `%`,
		"filter=" + strings.Repeat("a", 99): strings.Repeat("a", 99),
	} {
		var got string
		c.Do("GET", "/sync?"+raw, nil).OK().Into(&got)
		if got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
	for _, raw := range []string{"filter=%", "filter=%zz", "%ff=a&filter=%ff", "filter=%00", "other=%C3%28"} {
		c.Do("GET", "/sync?"+raw, nil).Refused(400, "M_INVALID_PARAM")
	}
}

// raw sends bytes over a connection of their own, and reads one answer.
func raw(t *testing.T, c *matrixtest.Client, request string) (status int, body string) {
	t.Helper()
	conn := dial(t, c)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(content)
}

// dial opens a connection to the server until the end of the test.
func dial(t *testing.T, c *matrixtest.Client) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(c.BaseURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the server may have hung up already
	return conn
}

// abandon sends a request whose client goes away when gone is closed.
func abandon(t *testing.T, c *matrixtest.Client, request *http.Request, gone <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-gone
		cancel()
	}()
	answer, err := c.HTTP.Do(request.WithContext(ctx))
	if err == nil {
		t.Errorf("got an answer: %d", answer.StatusCode)
		_ = answer.Body.Close() // the test has failed anyway
	}
}

// TestRawQuotesAndBracesOnTheWire sends the request line that curl --globoff
// sends, byte for byte.
func TestRawQuotesAndBracesOnTheWire(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/sync", queries("filter")))
	status, body := raw(t, c, "GET /sync?filter="+inlineFilter+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if want := fmt.Sprintf("%q\n", inlineFilter); status != http.StatusOK || body != want {
		t.Errorf("got %d %s, want %s", status, body, want)
	}
}

func TestCurlGloboff(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not installed")
	}
	c := newBench(t, Options{}).serve(t, get("/sync", queries("filter")))
	output, err := exec.CommandContext(t.Context(), curl, "-sS", "--globoff", c.BaseURL+"/sync?filter="+inlineFilter).CombinedOutput()
	if want := fmt.Sprintf("%q\n", inlineFilter); err != nil || string(output) != want {
		t.Errorf("got %v %s, want %s", err, output, want)
	}
}

func TestQueryNumbersAndFlags(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/it", func(r *Request) (any, error) {
		limit, err := r.QueryInt("limit", 10)
		if err != nil {
			return nil, err
		}
		full, err := r.QueryBool("full")
		return []any{limit, full}, err
	}))
	for raw, want := range map[string]string{
		"": "[10,false]", "limit=5&full=true": "[5,true]", "limit=0&full=false": "[0,false]", "limit=&full=": "[10,false]",
		"limit=99999999999999999999": "[9223372036854775807,false]",
	} {
		if got := strings.TrimSpace(string(c.Do("GET", "/it?"+raw, nil).OK().Body)); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
	for _, raw := range []string{"limit=-1", "limit=a", "limit=1.5", "limit=-99999999999999999999", "full=1", "full=TRUE"} {
		c.Do("GET", "/it?"+raw, nil).Refused(400, "M_INVALID_PARAM")
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{MaxBodyBytes: 100})
	fits := `{"text":"` + strings.Repeat("a", 89) + `"}`
	c.Do("POST", "/decode", fits).OK()
	c.Do("POST", "/decode", fits+" ").Refused(413, "M_TOO_LARGE")
	c.Do("POST", "/decode", strings.Repeat("x", 10<<20)).Refused(413, "M_TOO_LARGE")

	chunked := c.Request("POST", "/decode", nil)
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(fits)), -1
	c.Send(chunked).OK()
	chunked = c.Request("POST", "/decode", nil)
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(fits+" ")), -1
	answer := c.Send(chunked).Refused(413, "M_TOO_LARGE")
	if answer.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("413 without CORS headers")
	}
}

func TestDefaultBodyLimitIsOneMiB(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{})
	c.Do("POST", "/decode", `{"unknown":"`+strings.Repeat("a", 1<<20-14)+`"}`).OK()
	c.Do("POST", "/decode", `{"unknown":"`+strings.Repeat("a", 1<<20-13)+`"}`).Refused(413, "M_TOO_LARGE")
}

func TestBodyThatNeverArrives(t *testing.T) {
	t.Parallel()
	c := newDecoder(t, Options{BodyTimeout: 20 * time.Millisecond})
	status, body := raw(t, c, "POST /decode HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if status != http.StatusRequestTimeout {
		t.Errorf("got %d %s", status, body)
	}
}

// TestConnectionOutlivesTheBodyTimeout makes sure that the deadline for a body
// doesn't end a long poll, nor the next request of the connection.
func TestConnectionOutlivesTheBodyTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	c := newBench(t, Options{BodyTimeout: timeout}).serve(t, post("/poll", func(r *Request) (any, error) {
		select {
		case <-time.After(4 * timeout):
			return Empty{}, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}))
	c.Do("POST", "/poll", `{}`).OK()
	c.Do("POST", "/poll", `{"a":1}`).OK()
}

func TestLongPollNoticesThatItsClientWentAway(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}"} {
		waiting, gone := make(chan struct{}), make(chan struct{})
		b := newBench(t, Options{})
		c := b.serve(t, post("/poll", func(r *Request) (any, error) {
			close(waiting)
			<-r.Context().Done()
			close(gone)
			return nil, fmt.Errorf("wait for news: %w", r.Context().Err())
		}))
		abandon(t, c, c.Request("POST", "/poll", body), waiting)
		select {
		case <-gone:
		case <-time.After(matrixtest.Patience):
			t.Fatal("the handler goes on waiting")
		}
		if log := b.log.Wait(t, "status=499"); strings.Contains(log, "ERROR") {
			t.Errorf("an error was logged: %s", log)
		}
	}
}

func TestRequestBrokenOffByTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	handler := b.handle(t, get("/poll", func(r *Request) (any, error) { return nil, r.Context().Err() }))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	answer := record(handler, httptest.NewRequestWithContext(ctx, "GET", "/poll", nil))
	if answer.Code != 503 || answer.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q", answer.Code, answer.Header().Get("Retry-After"))
	}
}

// TestReaderThatStalls makes sure that a client that doesn't read its answer
// can't hold the handler.
func TestReaderThatStalls(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{AnswerTimeout: 50 * time.Millisecond})
	huge := strings.Repeat("a", 15<<10)
	const times = 2000
	c := b.serve(t, get("/huge", func(*Request) (any, error) { return huge, nil }))
	conn := dial(t, c)
	// The answers to many requests in a row fill all buffers on the way.
	go func() {
		_, _ = io.WriteString(conn, strings.Repeat("GET /huge HTTP/1.1\r\nHost: x\r\n\r\n", times)) // breaks off when the server hangs up
	}()
	b.log.Wait(t, "i/o timeout")
}

// TestReaderThatStallsInALongAnswer makes sure that the time for a long answer is none
// in which nothing need happen.
func TestReaderThatStallsInALongAnswer(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	b := newBench(t, Options{AnswerTimeout: 50 * time.Millisecond})
	huge := json.RawMessage(`"` + strings.Repeat("a", 64<<20) + `"`) // an hour at the slowest
	c := b.serve(t, get("/huge", func(*Request) (any, error) { return huge, nil }))
	if _, err := io.WriteString(dial(t, c), "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b.log.Wait(t, "i/o timeout")
}

// TestHTTP2 makes sure that the deadlines and the long polls work on the other
// protocol too, where a connection carries many requests.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	waiting, gone := make(chan struct{}, 2), make(chan struct{})
	b := newBench(t, Options{BodyTimeout: timeout})
	handler := b.handle(t, post("/decode", decoding), post("/poll", func(r *Request) (any, error) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked by %s", r.Proto)
		}
		waiting <- struct{}{}
		select {
		case <-time.After(4 * timeout):
			return Empty{}, nil
		case <-r.Context().Done():
			close(gone)
			return nil, r.Context().Err()
		}
	}))
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	c := matrixtest.At(t, server.URL, server.Client())
	c.Prefix = ""
	c.Do("POST", "/decode", `{"text":"a"}`).OK()
	c.Do("POST", "/decode", `[`).Refused(400, "M_NOT_JSON")
	c.Do("POST", "/poll", `{}`).OK()
	c.Do("POST", "/decode", strings.Repeat("x", 2<<20)).Refused(413, "M_TOO_LARGE")

	<-waiting
	abandon(t, c, c.Request("POST", "/poll", `{}`), waiting)
	select {
	case <-gone:
	case <-time.After(matrixtest.Patience):
		t.Error("the handler goes on waiting")
	}
}

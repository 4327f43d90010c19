package httpapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"homeserver/internal/matrix"
)

// ready is an answer that writes its own JSON.
type ready string

func (a ready) AppendJSON(b []byte) []byte { return append(b, a...) }

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := `{"a":"` + strings.Repeat("x", 300<<10) + `"}`
	for want, answer := range map[string]any{
		`{}`:                  Empty{},
		`{"a":"<b>&\"ü"}`:     map[string]string{"a": `<b>&"ü`},
		`{"raw":1}`:           json.RawMessage(`{"raw":1}`),
		`{"ready":"<"}`:       ready(`{"ready":"<"}`),
		long:                  ready(long),
		`{"list":[{},{}]}`:    map[string][]Empty{"list": {{}, {}}},
		`{"n":1700000000000}`: map[string]int64{"n": 1700000000000},
	} {
		c := newBench(t, Options{}).serve(t, get("/it", func(*Request) (any, error) { return answer, nil }))
		for range 2 { // the second time with buffers from the pool
			got := c.Do("GET", "/it", nil).OK()
			if string(got.Body) != want+"\n" {
				t.Errorf("got %.80q, want %.80q", got.Body, want)
			}
			if got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("Content-Type %q", got.Header.Get("Content-Type"))
			}
		}
	}
}

func TestErrorsThatClientsSee(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err        error
		status     int
		body       map[string]any
		retryAfter string
	}{
		"usual status": {
			err: matrix.Errorf(matrix.Forbidden, "No <entry>"), status: 403,
			body: map[string]any{"errcode": "M_FORBIDDEN", "error": "No <entry>"},
		},
		"own status": {
			err: &matrix.Error{Code: matrix.NotFound, Message: "m", Status: 400}, status: 400,
			body: map[string]any{"errcode": "M_NOT_FOUND", "error": "m"},
		},
		"wrapped": {
			err: fmt.Errorf("join: %w", matrix.Errorf(matrix.BadState, "m")), status: 400,
			body: map[string]any{"errcode": "M_BAD_STATE", "error": "m"},
		},
		"rate limit": {
			err: &matrix.Error{Code: matrix.LimitExceeded, Message: "m", RetryAfter: 1500*time.Millisecond + 1}, status: 429,
			body:       map[string]any{"errcode": "M_LIMIT_EXCEEDED", "error": "m", "retry_after_ms": 1501.0},
			retryAfter: "2",
		},
		"fields": {
			err:    &matrix.Error{Code: matrix.UnknownToken, Message: "m", Fields: map[string]any{"soft_logout": true}},
			status: 401, body: map[string]any{"errcode": "M_UNKNOWN_TOKEN", "error": "m", "soft_logout": true},
		},
		"interactive authentication without an error": {
			err:    &matrix.Error{Status: 401, Fields: map[string]any{"flows": []any{}, "session": "s", "params": map[string]any{}}},
			status: 401, body: map[string]any{"flows": []any{}, "session": "s", "params": map[string]any{}},
		},
		"database away": {
			err: fmt.Errorf("load: %w", &pgconn.PgError{Code: "57P01"}), status: 503,
			body:       map[string]any{"errcode": "M_UNKNOWN", "error": errUnavailable.Message},
			retryAfter: "2",
		},
		"no connection came free": {
			err: fmt.Errorf("load: %w", context.DeadlineExceeded), status: 503,
			body:       map[string]any{"errcode": "M_UNKNOWN", "error": errUnavailable.Message},
			retryAfter: "2",
		},
		"internal": {
			err: errors.New("secret detail"), status: 500,
			body: map[string]any{"errcode": "M_UNKNOWN", "error": "Internal server error"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newBench(t, Options{}).serve(t, get("/it", func(*Request) (any, error) { return nil, test.err }))
			answer := c.Do("GET", "/it", nil)
			if answer.Status != test.status || answer.Header.Get("Retry-After") != test.retryAfter {
				t.Errorf("status %d, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
			}
			if diff := cmp.Diff(test.body, answer.At()); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInternalErrorIsLoggedWithItsRequestID(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	c := b.serve(t, get("/it", func(*Request) (any, error) { return nil, errors.New("secret detail") }))
	answer := c.Do("GET", "/it", nil).Refused(500, "M_UNKNOWN")
	log := b.log.Wait(t, "status=500")
	want := `error="secret detail" request_id=` + answer.Header.Get("X-Request-Id")
	if !strings.Contains(log, want) {
		t.Errorf("the log lacks %q:\n%s", want, log)
	}
}

// That the server is busy is nothing to log for each who asks; why it cannot serve is.
func TestCauseOfARefusalForNowIsLogged(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	c := b.serve(t,
		get("/busy", func(*Request) (any, error) { return nil, errStopping }),
		get("/full", func(*Request) (any, error) {
			return nil, fmt.Errorf("receive a file: %w: %w", errStopping, errors.New("no space left on device"))
		}))
	c.Do("GET", "/busy", nil).Refused(503, "M_UNKNOWN")
	if body := string(c.Do("GET", "/full", nil).Refused(503, "M_UNKNOWN").Body); strings.Contains(body, "space") {
		t.Errorf("the cause is told to the client: %s", body)
	}
	log := b.log.Wait(t, "route=/full")
	if strings.Count(log, "refused for now") != 1 || !strings.Contains(log, "no space left on device") {
		t.Errorf("the log: %s", log)
	}
}

func TestAnswerThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	c := b.serve(t,
		get("/it", func(*Request) (any, error) { return math.NaN(), nil }),
		get("/error", func(*Request) (any, error) {
			return nil, &matrix.Error{Code: matrix.Forbidden, Fields: map[string]any{"n": math.NaN()}}
		}),
		get("/fine", ok),
	)
	c.Do("GET", "/it", nil).Refused(500, "M_UNKNOWN")
	c.Do("GET", "/error", nil).Refused(403, "M_UNKNOWN")
	c.Do("GET", "/fine", nil).OK()
}

func TestGzip(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/it", func(r *Request) (any, error) {
		n, err := r.QueryInt("n", 0)
		return ready(`"` + strings.Repeat("a", max(n-3, 0)) + `"`), err
	}))
	for _, test := range []struct {
		accept string
		bytes  int
		gzip   bool
	}{
		{"gzip", 1023, false},
		{"gzip", 1024, true},
		{"gzip, deflate, br, zstd", 1 << 20, true},
		{"zstd", 1 << 20, false},
		{"gzip;q=0", 1 << 20, false},
		{"", 1 << 20, false},
	} {
		request := c.Request("GET", "/it?n="+strconv.Itoa(test.bytes), nil)
		request.Header.Set("Accept-Encoding", test.accept)
		answer := c.Send(request).OK()
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != test.gzip {
			t.Errorf("%q, %d bytes: compressed: %v", test.accept, test.bytes, got)
			continue
		}
		if test.bytes >= minCompressed && !strings.Contains(answer.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("Vary is %q", answer.Header.Get("Vary"))
		}
		plain := answer.Body
		if test.gzip {
			plain = gunzip(t, answer.Body)
		}
		if len(plain) != test.bytes {
			t.Errorf("%q: %d bytes, want %d", test.accept, len(plain), test.bytes)
		}
	}
}

func gunzip(t *testing.T, body []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestNotYetUploadedIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	for status, logged := range map[int]bool{500: true, 502: false, 503: true, 504: false, 413: false} {
		if isOurFault(&matrix.Error{Status: status}) != logged {
			t.Errorf("%d: want %v", status, logged)
		}
	}
	if isOurFault(&matrix.Error{Status: 503, RetryAfter: 1}) {
		t.Error("what passes by itself is logged as an error")
	}
}

package server

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// wired is an answer as it came over the wire.
type wired struct {
	status int
	header http.Header
	last   bool // the connection ends with it
	body   string
}

// exchange sends a request as it is on a connection.
func exchange(t *testing.T, conn net.Conn, request string) wired {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(request)[0]})
	if err != nil {
		t.Fatalf("%q: %v", request[:min(len(request), 80)], err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return wired{answer.StatusCode, answer.Header, answer.Close, string(body)}
}

func TestWhatIsNoHTTPIsAnsweredAsJSONWithCORS(t *testing.T) {
	t.Parallel()
	address := mustStart(t, testConfig(t)).Addresses()[0].Address
	const good = "GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for name, test := range map[string]struct {
		request string
		status  int
		code    matrix.Code
	}{
		"a broken escape":         {"GET /_matrix/client/v3/profile/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, matrix.InvalidParam},
		"half an escape":          {"GET /_matrix/client/v3/rooms/%2/messages?dir=b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, matrix.InvalidParam},
		"a space in the path":     {"GET /_matrix/client/v3/profile/a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, matrix.InvalidParam},
		"no host":                 {"GET /_matrix/client/versions HTTP/1.1\r\n\r\n", 400, matrix.InvalidParam},
		"no header":               {"GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\nx\r\n\r\n", 400, matrix.InvalidParam},
		"very long headers":       {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n", 431, matrix.TooLarge},
		"an unknown encoding":     {"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: zip\r\n\r\n", 501, matrix.Unknown},
		"a version of the future": {"GET / HTTP/7.1\r\nHost: localhost\r\n\r\n", 505, matrix.Unknown},
	} {
		for _, before := range []int{0, 1, 2} {
			conn := dial(t, address)
			for range before {
				if answer := exchange(t, conn, good); answer.status != http.StatusOK || !strings.Contains(answer.body, "versions") {
					t.Fatalf("%s, before: %+v", name, answer)
				}
			}
			answer := exchange(t, conn, test.request)
			var refusal struct {
				Code    matrix.Code `json:"errcode"`
				Message string      `json:"error"`
			}
			if err := json.Unmarshal([]byte(answer.body), &refusal); err != nil {
				t.Errorf("%s: %q: %v", name, answer.body, err)
			}
			if answer.status != test.status || refusal.Code != test.code || refusal.Message == "" {
				t.Errorf("%s, after %d requests: %d %s, want %d %s", name, before, answer.status, answer.body, test.status, test.code)
			}
			h := answer.header
			if h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") || !answer.last {
				t.Errorf("%s: %v", name, h)
			}
		}
	}
}

// TestBrowsersMaySendATokenWithABrokenPath: or else their scripts would learn nothing of what is wrong.
func TestBrowsersMaySendATokenWithABrokenPath(t *testing.T) {
	t.Parallel()
	conn := dial(t, mustStart(t, testConfig(t)).Addresses()[0].Address)
	exchange(t, conn, "OPTIONS /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\n\r\n")
	answer := exchange(t, conn, "OPTIONS /_matrix/client/v3/profile/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if answer.status != http.StatusNoContent || answer.body != "" ||
		!strings.Contains(answer.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("%+v", answer)
	}
}

// TestAFileThatLooksLikeARefusalIsSentAsItIs: only what comes from no handler is replaced.
func TestAFileThatLooksLikeARefusalIsSentAsItIs(t *testing.T) {
	t.Parallel()
	s := mustStart(t, testConfig(t))
	const file = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	c := clientAt(t, s, 0).Register("alice", "wordpass")
	uri := c.Do("POST", "/_matrix/media/v3/upload", file).OK().String("content_uri")
	for range 2 {
		got := c.Do("GET", "/_matrix/client/v1/media/download/"+strings.TrimPrefix(uri, "mxc://"), nil).OK()
		if string(got.Body) != file {
			t.Errorf("got %q", got.Body)
		}
	}
}

func TestScriptsInBrowsersReadWhenToComeAgain(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Limits.Connections = 1
	address := mustStart(t, cfg).Addresses()[0].Address
	ask(t, dial(t, address))
	_, header := ask(t, dial(t, address))
	if header.Get("Retry-After") == "" || !strings.Contains(header.Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Errorf("one too many is told %v", header)
	}
}

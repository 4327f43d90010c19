package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
)

func TestManyQueryParameters(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for name, query := range map[string]string{
		"one, often":        strings.Repeat("filter=0&", 10_000),
		"many":              manyParameters(10_000),
		"empty ones":        strings.Repeat("&", 90_000),
		"escapes":           "filter=" + strings.Repeat("%41", 30_000),
		"broken escapes":    "filter=" + strings.Repeat("%zz", 30_000),
		"a filter, deep":    "filter=" + strings.Repeat("%5B", 30_000),
		"a filter of types": `filter={"room":{"timeline":{"types":["a"` + strings.Repeat(`,"*a*"`, 10_000) + `]}}}`,
	} {
		answer := alice.Do("GET", "/sync?"+query, nil)
		if answer.Status >= 500 || answer.Status != 200 && answer.Errcode() == "" {
			t.Errorf("%s: %d %s", name, answer.Status, httpapi.Clip(string(answer.Body), 200))
		}
	}
}

func manyParameters(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + strconv.Itoa(i) + "=1&")
	}
	return b.String()
}

func TestHeadersThatAreTooMuch(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	for name, change := range map[string]func(h http.Header){
		"a long token":      func(h http.Header) { h.Set("Authorization", "Bearer "+strings.Repeat("a", 100_000)) },
		"many tokens":       func(h http.Header) { h["Authorization"] = strings.Split(strings.Repeat("Bearer a,", 1000), ",") },
		"many encodings":    func(h http.Header) { h.Set("Accept-Encoding", strings.Repeat("gzip;q=0.1,", 10_000)) },
		"a long content":    func(h http.Header) { h.Set("Content-Type", strings.Repeat("a/b;", 20_000)) },
		"many headers":      func(h http.Header) { h["X-A"] = strings.Split(strings.Repeat("a,", 5000), ",") },
		"a long user agent": func(h http.Header) { h.Set("User-Agent", strings.Repeat("ü", 50_000)) },
	} {
		r := alice.Request("GET", "/account/whoami", nil)
		change(r.Header)
		if answer := alice.Send(r); answer.Status >= 500 || answer.Status != 200 && answer.Errcode() == "" {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
}

func TestRangesByTheThousand(t *testing.T) {
	t.Parallel()
	alice := newServer(t).Register("alice", "wordpass")
	content := strings.Repeat("0123456789", 1000)
	uri := alice.Do("POST", "/_matrix/media/v3/upload", content).OK().String("content_uri")
	path := strings.Replace(uri, "mxc://", "/_matrix/media/v3/download/", 1)
	for name, value := range map[string]string{
		"overlapping":    "bytes=0-" + strings.Repeat(",0-", 20_000),
		"of one byte":    "bytes=0-0" + strings.Repeat(",1-1", 20_000),
		"from the end":   "bytes=-1" + strings.Repeat(",-1", 20_000),
		"backwards":      "bytes=9-1",
		"too large":      "bytes=0-99999999999999999999999",
		"negative":       "bytes=--5",
		"of other units": "lines=1-2",
		"behind the end": "bytes=100000-",
	} {
		r := alice.Request("GET", path, nil)
		r.Header.Set("Range", value)
		answer := alice.Send(r)
		if answer.Status >= 500 || len(answer.Body) > 10*len(content) {
			t.Errorf("%s: %d, %d bytes", name, answer.Status, len(answer.Body))
		}
	}
}

// Bytes that are not HTTP, or not quite, get a 4xx or no answer.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newAPI(t, services(t)).Handler())
	t.Cleanup(server.Close)
	const end = "\r\n\r\n"
	for name, request := range map[string]string{
		"two lengths":             "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3" + end + "{}",
		"length and chunks":       "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked" + end + "0" + end,
		"negative length":         "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: -2" + end + "{}",
		"odd transfer encoding":   "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip" + end,
		"endless chunk":           "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked" + end + "fffffffffffffffff\r\n{}",
		"no host":                 "GET /_matrix/client/versions HTTP/1.1" + end,
		"space in header":         "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nA : b" + end,
		"NUL in header":           "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nA: \x00" + end,
		"folded header":           "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nA: b\r\n c" + end,
		"broken escape":           "GET /_matrix/client/v3/profile/%zz HTTP/1.1\r\nHost: x" + end,
		"absolute URL":            "GET http://elsewhere.example/_matrix/client/versions HTTP/1.1\r\nHost: x" + end,
		"CONNECT":                 "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22" + end,
		"unknown method":          "EXPLODE /_matrix/client/versions HTTP/1.1\r\nHost: x" + end,
		"asterisk":                "OPTIONS * HTTP/1.1\r\nHost: x" + end,
		"unknown version":         "GET / HTTP/9.9\r\nHost: x" + end,
		"TLS":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + end,
		"HTTP/2 without warning":  "PRI * HTTP/2.0" + end + "SM" + end,
		"nothing but line feeds":  strings.Repeat("\r\n", 1000) + end,
		"a header of a megabyte":  "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2<<20) + end,
		"a hundred thousand of 5": "GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 300_000) + end,
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request) // the server may have had enough
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented && answer.StatusCode != http.StatusHTTPVersionNotSupported {
			t.Errorf("%s: %s", name, answer.Status)
		}
		if err == nil {
			_ = answer.Body.Close()
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	matrixtest.At(t, server.URL, server.Client()).Do("GET", "/login", nil).OK()
}

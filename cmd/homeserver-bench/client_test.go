package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serving starts a server and connects a client to it.
func serving(t *testing.T, token string, handler http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := dial(t.Context(), strings.TrimPrefix(server.URL, "http://"), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// echo answers with what it was asked; in chunks under /chunks.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, `{"asked":"%s %s %s %s",`, r.Method, r.RequestURI, body, r.Header.Get("Authorization"))
	if r.URL.Path == "/chunks" {
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = io.WriteString(w, `"end":true}`)
}

func TestClientMakesOneRequestAfterTheOther(t *testing.T) {
	t.Parallel()
	c := serving(t, "secret", echo)
	for _, test := range []struct{ method, path, body string }{
		{"GET", "/a?b=c", ""}, {"PUT", "/chunks", "text"}, {"POST", "/a/%21b", "{}"},
	} {
		answer, err := c.do(test.method, test.path, test.body)
		want := fmt.Sprintf(`{"asked":"%s %s %s Bearer secret","end":true}`, test.method, test.path, test.body)
		if err != nil || string(answer) != want {
			t.Errorf("got %s (%v), want %s", answer, err, want)
		}
	}
	var parsed struct{ Asked string }
	if err := c.into(&parsed, "GET", "/x", ""); err != nil || !strings.HasPrefix(parsed.Asked, "GET /x ") {
		t.Errorf("got %+v, %v", parsed, err)
	}
}

func TestClientWithoutATokenSendsNone(t *testing.T) {
	t.Parallel()
	answer, err := serving(t, "", echo).do("GET", "/", "")
	if err != nil || strings.Contains(string(answer), "Bearer") {
		t.Errorf("got %s, %v", answer, err)
	}
}

func TestClientTellsOfRefusals(t *testing.T) {
	t.Parallel()
	c := serving(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "no JSON")
	})
	if _, err := c.do("GET", "/no", ""); err == nil || !strings.Contains(err.Error(), "GET /no: status 403: no JSON") {
		t.Errorf("got %v", err)
	}
	if err := c.into(new(int), "GET", "/", ""); err == nil || !strings.Contains(err.Error(), "in the answer no JSON") {
		t.Errorf("got %v", err)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the connection is given up
	}))
	t.Cleanup(server.Close)
	c, err := dial(ctx, strings.TrimPrefix(server.URL, "http://"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := c.do("GET", "/", ""); err == nil {
		t.Error("an answer that never came")
	}
}

func TestClientTellsThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := dial(t.Context(), strings.TrimPrefix(server.URL, "http://"), ""); err == nil {
		t.Error("connected to nobody")
	}
}

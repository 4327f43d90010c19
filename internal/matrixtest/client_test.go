package matrixtest

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// echo answers with the request, as JSON.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(map[bool]int{true: 200, false: 401}[r.Header.Get("Authorization") != ""])
	_, _ = fmt.Fprintf(w, `{"errcode":"M_MISSING_TOKEN","error":"none","method":%q,"uri":%q,"body":%q,"list":[{"a":"b"}]}`,
		r.Method, r.RequestURI, body)
}

func TestDoSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	c := New(t, http.HandlerFunc(echo))
	c.Token = "secret"
	for _, test := range []struct {
		path string
		body any
		uri  string
		sent string
	}{
		{"/sync?a=b", nil, "/_matrix/client/v3/sync?a=b", ""},
		{"/_matrix/client/versions", "raw", "/_matrix/client/versions", "raw"},
		{"/.well-known/matrix/client", []byte("bytes"), "/.well-known/matrix/client", "bytes"},
		{Path("rooms", "!a/b:c", "state", ""), map[string]int{"n": 1}, "/_matrix/client/v3/rooms/%21a%2Fb:c/state/", `{"n":1}`},
	} {
		answer := c.Do("PUT", test.path, test.body).OK()
		if answer.String("uri") != test.uri || answer.String("body") != test.sent || answer.String("method") != "PUT" {
			t.Errorf("%s: got %s", test.path, answer.Body)
		}
	}
}

func TestResponseFindsPlaces(t *testing.T) {
	t.Parallel()
	answer := New(t, http.HandlerFunc(echo)).Do("GET", "/x", nil).Refused(401, "M_MISSING_TOKEN")
	if got := answer.String("list", 0, "a"); got != "b" {
		t.Errorf("list[0].a = %q", got)
	}
	for _, place := range [][]any{{"list", 1}, {"none"}, {"none", "deeper"}, {"method", 0}} {
		if got := answer.At(place...); got != nil {
			t.Errorf("%v = %v, want nothing", place, got)
		}
	}
}

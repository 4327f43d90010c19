package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrix"
)

// params answers with the parts of the path that the route names.
func params(names ...string) func(*Request) (any, error) {
	return func(r *Request) (any, error) {
		answer := map[string]string{}
		for _, name := range names {
			answer[name] = r.Param(name)
		}
		return answer, nil
	}
}

func stateRoutes() []Route {
	return []Route{
		get("/rooms/{roomId}/state", ok),
		get("/rooms/{roomId}/state/{eventType}", params("roomId", "eventType", "stateKey")),
		get("/rooms/{roomId}/state/{eventType}/{stateKey}", params("roomId", "eventType", "stateKey")),
	}
}

func TestPathPartsAreDecodedOnce(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, stateRoutes()...)
	for path, want := range map[string][3]string{
		"/rooms/!abc:localhost/state/m.room.name":              {"!abc:localhost", "m.room.name", ""},
		"/rooms/%21abc%3Alocalhost/state/m.room.name":          {"!abc:localhost", "m.room.name", ""},
		"/rooms/%21abc%3Alocalhost/state/m.room.name/":         {"!abc:localhost", "m.room.name", ""},
		"/rooms/!abc:localhost/state/m.room.member/@a:b":       {"!abc:localhost", "m.room.member", "@a:b"},
		"/rooms/%21abc:localhost/state/x/a%2Fb":                {"!abc:localhost", "x", "a/b"},
		"/rooms/!abc:localhost/state/x/a%2Fb/":                 {"!abc:localhost", "x", "a/b"},
		"/rooms/!abc:localhost/state/x/a%252Fb":                {"!abc:localhost", "x", "a%2Fb"},
		"/rooms/!abc:localhost/state/x/%25":                    {"!abc:localhost", "x", "%"},
		"/rooms/!abc:localhost/state/x/a+b%20c":                {"!abc:localhost", "x", "a+b c"},
		"/rooms/!abc:localhost/state/x/%C3%BC":                 {"!abc:localhost", "x", "ü"},
		"/rooms/!abc:localhost/state/x/..":                     {"!abc:localhost", "x", ".."},
		"/rooms/!abc:localhost/state/x/.":                      {"!abc:localhost", "x", "."},
		"//rooms/!abc:localhost/state/x":                       {"!abc:localhost", "x", ""},
		"/rooms/!abc:localhost/state/x/%7B%22a%22%3A1%7D?a=b":  {"!abc:localhost", "x", `{"a":1}`},
		"/rooms/!abc:localhost/state/x/semi;colon,and@friends": {"!abc:localhost", "x", "semi;colon,and@friends"},
	} {
		answer := c.Do("GET", path, nil).OK()
		got := [3]string{answer.String("roomId"), answer.String("eventType"), answer.String("stateKey")}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestPathPartsThatAreNoText(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, stateRoutes()...)
	for _, path := range []string{
		"/rooms/!abc:localhost/state/x/%00",
		"/rooms/!abc:localhost/state/x/a%00b",
		"/rooms/!abc:localhost/state/x/%FF",
		"/rooms/%C3/state/x",
	} {
		c.Do("GET", path, nil).Refused(400, "M_INVALID_PARAM")
	}
}

func TestUnknownPathAndWrongMethod(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	c := b.serve(t,
		get("/both", ok), post("/both", ok),
		Route{Method: http.MethodPut, Path: "/put", Handler: User(func(*Request, matrix.Session) (any, error) { return Empty{}, nil })},
	)
	for _, path := range []string{"/", "/nothing", "/both/more", "/bot", "/put/", "//"} {
		answer := c.Do("GET", path, nil)
		if path == "/put/" {
			answer.Refused(405, "M_UNRECOGNIZED")
			continue
		}
		answer.Refused(404, "M_UNRECOGNIZED")
	}
	for method, allow := range map[string]string{
		"PUT": "GET, HEAD, OPTIONS, POST", "DELETE": "GET, HEAD, OPTIONS, POST", "BREW": "GET, HEAD, OPTIONS, POST",
	} {
		answer := c.Do(method, "/both", nil).Refused(405, "M_UNRECOGNIZED")
		if got := answer.Header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow is %q, want %q", method, got, allow)
		}
	}
	c.Do("BREW", "/nothing", nil).Refused(404, "M_UNRECOGNIZED")
	if got := c.Do("GET", "/put", nil).Refused(405, "M_UNRECOGNIZED").Header.Get("Allow"); got != "OPTIONS, PUT" {
		t.Errorf("Allow is %q", got)
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t, get("/it", func(*Request) (any, error) { return map[string]int{"n": 1}, nil }), post("/post", ok))
	answer := c.Do("HEAD", "/it", nil)
	if answer.Status != 200 || len(answer.Body) != 0 || answer.Header.Get("Content-Length") != "8" {
		t.Errorf("HEAD: %d, %q, Content-Length %q", answer.Status, answer.Body, answer.Header.Get("Content-Length"))
	}
	if answer := c.Do("HEAD", "/post", nil); answer.Status != 405 {
		t.Errorf("HEAD where there is only POST: %d", answer.Status)
	}
}

func TestEachPrefixServesTheSame(t *testing.T) {
	t.Parallel()
	c := newBench(t, Options{}).serve(t,
		Route{Prefixes{{Path: "/a"}, {Path: "/b"}}, http.MethodGet, "/it", Reading, Public(ok)},
		Route{Prefixes{{Path: "/b"}}, http.MethodPost, "/it", Reading, Public(ok)},
	)
	c.Do("GET", "/a/it", nil).OK()
	c.Do("GET", "/b/it", nil).OK()
	c.Do("POST", "/b/it", nil).OK()
	c.Do("POST", "/a/it", nil).Refused(405, "M_UNRECOGNIZED")
	c.Do("GET", "/it", nil).Refused(404, "M_UNRECOGNIZED")
}

func TestRouteThatIsThereTwice(t *testing.T) {
	t.Parallel()
	_, err := newBench(t, Options{}).Handler([]Route{
		{Prefixes{{Path: "/a"}, {Path: "/b"}}, http.MethodGet, "/it", Reading, Public(ok)},
		{Prefixes{{Path: "/b"}}, http.MethodGet, "/it", Reading, Public(ok)},
	})
	if err == nil || !strings.Contains(err.Error(), "GET /b/it") {
		t.Errorf("got %v, want an error that names the route", err)
	}
}

package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/appservice"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// bridge is an application service as the other end of calls.
type bridge struct {
	*httptest.Server
	t testing.TB

	mu     sync.Mutex
	calls  []string // method, path and query of each
	bodies []string
	answer func(w http.ResponseWriter, r *http.Request)
}

// newBridge runs an application service that checks the hs_token, "NAME-hs-token", and then
// answers as it is told; at first with {}.
func newBridge(t testing.TB, name string) *bridge {
	t.Helper()
	b := &bridge{t: t}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Authorization") != "Bearer "+name+"-hs-token" {
			t.Errorf("%s: called with %q", name, r.Header.Get("Authorization"))
		}
		b.mu.Lock()
		b.calls, b.bodies = append(b.calls, r.Method+" "+r.URL.RequestURI()), append(b.bodies, string(body))
		answer := b.answer
		b.mu.Unlock()
		if answer == nil {
			_, _ = io.WriteString(w, "{}")
			return
		}
		answer(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// answers sets how the service answers the next requests.
func (b *bridge) answers(answer func(w http.ResponseWriter, r *http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// always sets one answer to everything.
func (b *bridge) always(status int, body string) {
	b.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// taken returns the calls since it was asked last.
func (b *bridge) taken() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

// at returns a registration with the URL of the service.
func (b *bridge) at(file string) string { return strings.Replace(file, "url: null", "url: "+b.URL, 1) }

// newServerPatient runs the whole API with application services, which get so much time to answer.
func newServerPatient(t testing.TB, patience time.Duration, files ...string) *matrixtest.Client {
	t.Helper()
	o := servicesBeside(t, postgrestest.New(t), bridges(t, files...), 0, patient(patience))
	return matrixtest.New(t, newAPI(t, o).Handler())
}

func TestPing(t *testing.T) {
	t.Parallel()
	irc := newBridge(t, "irc")
	c := newServerWith(t, irc.at(ircFile), slackFile)
	asker := asService(c, "irc-as-token")
	for _, path := range []string{"/_matrix/client/v1/appservice/irc/ping", "/_matrix/client/unstable/fi.mau.msc2659/appservice/irc/ping"} {
		if ms, ok := asker.Do("POST", path, `{"transaction_id":"meow"}`).OK().At("duration_ms").(float64); !ok || ms < 0 {
			t.Errorf("%s took %v", path, ms)
		}
		asker.Do("POST", path, nil).OK()
		asker.Do("POST", path, `{"transaction_id":1}`).Refused(400, "M_BAD_JSON")
		asker.Do("POST", path, `{`).Refused(400, "M_NOT_JSON")
	}
	const path = "/_matrix/client/v1/appservice/irc/ping"
	if calls := irc.taken(); len(calls) != 4 || calls[0] != "POST /_matrix/app/v1/ping" || irc.bodies[0] != `{"transaction_id":"meow"}` || irc.bodies[1] != "{}" {
		t.Errorf("got %q with %q", calls, irc.bodies)
	}
	asService(c, "slack-as-token").Do("POST", path, `{}`).Refused(403, "M_FORBIDDEN")
	asker.Do("POST", "/_matrix/client/v1/appservice/none/ping", `{}`).Refused(403, "M_FORBIDDEN")
	c.Register("alice", "wordpass").Do("POST", path, `{}`).Refused(403, "M_FORBIDDEN")
	c.Do("POST", path, `{}`).Refused(401, "M_MISSING_TOKEN")
	asService(c, "slack-as-token").Do("POST", "/_matrix/client/v1/appservice/slack/ping", `{}`).Refused(400, "M_URL_NOT_SET")
}

func TestPingOfAServiceInTrouble(t *testing.T) {
	t.Parallel()
	irc := newBridge(t, "irc")
	c := newServerPatient(t, 200*time.Millisecond, irc.at(ircFile))
	asker := asService(c, "irc-as-token")
	const path = "/_matrix/client/v1/appservice/irc/ping"

	irc.always(403, `{"errcode":"M_FORBIDDEN"}`)
	refused := asker.Do("POST", path, `{}`).Refused(502, "M_BAD_STATUS")
	if refused.At("status") != 403.0 || refused.String("body") != `{"errcode":"M_FORBIDDEN"}` {
		t.Errorf("got %s", refused.Body)
	}
	irc.answers(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://localhost:1/", http.StatusFound)
	})
	if got := asker.Do("POST", path, `{}`).Refused(502, "M_BAD_STATUS").At("status"); got != 302.0 {
		t.Errorf("a redirect: got %v", got)
	}
	irc.always(200, strings.Repeat("x", 1<<20))
	asker.Do("POST", path, `{}`).Refused(502, "M_CONNECTION_FAILED")
	irc.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	asker.Do("POST", path, `{}`).Refused(504, "M_CONNECTION_TIMEOUT")
	irc.CloseClientConnections()
	irc.Close()
	failed := asker.Do("POST", path, `{}`).Refused(502, "M_CONNECTION_FAILED")
	if strings.Contains(string(failed.Body), "token") {
		t.Errorf("a token is shown: %s", failed.Body)
	}
	if !json.Valid(failed.Body) {
		t.Error("no JSON")
	}
}

// patient returns a change of the options of application services.
func patient(patience time.Duration) func(*appservice.Options) {
	return func(o *appservice.Options) { o.Patience = patience }
}

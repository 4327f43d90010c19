package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

// replicas are processes on one database and one data folder, behind a proxy that hands each request to
// the next of them, so that requests of one user go to all.
type replicas struct {
	environ []string
	dataDir string
	proxy   *httptest.Server
	turn    atomic.Uint64

	mu      sync.Mutex
	daemons []*daemon
}

func startReplicas(t *testing.T, number int) *replicas {
	t.Helper()
	r := &replicas{dataDir: dataFolder(t), environ: []string{
		"HOMESERVER_DATABASE_URL=" + postgrestest.URL(t), "HOMESERVER_DATABASE_MAX_CONNECTIONS=6",
		"HOMESERVER_RATE_LIMITS_ENABLED=false", "HOMESERVER_LOG_LEVEL=warn",
		"HOMESERVER_REGISTRATION_SHARED_SECRET=secret",
	}}
	for range number {
		r.daemons = append(r.daemons, serveFrom(t, r.dataDir, r.environ...))
	}
	r.proxy = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			target, err := url.Parse(r.next())
			if err != nil {
				t.Error(err)
			}
			p.SetURL(target)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
	})
	t.Cleanup(r.proxy.Close)
	return r
}

// next returns the base URL of the process whose turn it is.
func (r *replicas) next() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.daemons[r.turn.Add(1)%uint64(len(r.daemons))].http
}

// at returns a client's other self, which asks one process only.
func (r *replicas) at(t *testing.T, i int, c *matrixtest.Client) *matrixtest.Client {
	t.Helper()
	c = c.As(t)
	c.BaseURL = r.daemons[i].http
	return c
}

// client returns a client that is not logged in, and asks all processes in turn.
func (r *replicas) client(t *testing.T) *matrixtest.Client {
	t.Helper()
	return matrixtest.At(t, r.proxy.URL, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}})
}

// revive starts a process in the place of one that has ended.
func (r *replicas) revive(t *testing.T, i int) {
	t.Helper()
	d := serveFrom(t, r.dataDir, r.environ...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.daemons[i] = d
}

// wander does something random in a room, which nobody checks but for that the server answers.
func wander(t *testing.T, c *matrixtest.Client, room string, n int) {
	t.Helper()
	user := url.PathEscape(c.UserID)
	things := []*http.Request{
		c.Request(http.MethodPut, matrixtest.Path("rooms", room, "state", "m.room.topic", ""), map[string]any{"topic": fmt.Sprint(n)}),
		c.Request(http.MethodPut, matrixtest.Path("rooms", room, "typing", c.UserID), map[string]any{"typing": n%2 == 0}),
		c.Request(http.MethodPut, matrixtest.Path("user", c.UserID, "account_data", "org.example.n"), map[string]any{"n": n}),
		c.Request(http.MethodPut, matrixtest.Path("profile", c.UserID, "displayname"), map[string]any{"displayname": fmt.Sprint(user, n)}),
		c.Request(http.MethodPut, matrixtest.Path("presence", c.UserID, "status"), map[string]any{"presence": "online", "status_msg": fmt.Sprint(n)}),
		c.Request(http.MethodPost, matrixtest.Path("rooms", room, "leave"), map[string]any{}),
		c.Request(http.MethodPost, matrixtest.Path("join", room), map[string]any{}),
		c.Request(http.MethodPost, matrixtest.Path("createRoom"), map[string]any{"preset": "private_chat"}),
		c.Request(http.MethodGet, matrixtest.Path("rooms", room, "members"), nil),
	}
	response, err := c.HTTP.Do(things[rand.IntN(len(things))]) //nolint:gosec // any will do
	if err != nil {
		return // it was asked of the one that was killed
	}
	_ = response.Body.Close()
	if s := response.StatusCode; s >= http.StatusInternalServerError && s != http.StatusServiceUnavailable {
		t.Errorf("%s %s: %s", response.Request.Method, response.Request.URL, response.Status)
	}
}

const (
	replicaWanderers = 4
	replicaMessages  = 40 // of each sender
)

// load is everybody at work: those who send, those who read, and those who do something else.
func (r *replicas) load(t *testing.T, c *crash, halfway func()) {
	t.Helper()
	resting, rest := context.WithCancel(t.Context())
	defer rest()
	var senders, others sync.WaitGroup
	for _, read := range c.readers {
		others.Go(func() {
			for resting.Err() == nil {
				_, _ = read.next(resting, t, "10000") // again, with the same token, after an error
			}
		})
	}
	for i := range replicaWanderers {
		wanderer := r.client(t).Register(fmt.Sprint("wanderer", i), "wordpass")
		others.Go(func() {
			for n := 0; resting.Err() == nil; n++ {
				wander(t, wanderer, c.rooms[n%len(c.rooms)], n)
			}
		})
	}
	var sent atomic.Int64
	middle := make(chan struct{})
	for _, s := range c.senders {
		senders.Go(func() {
			for range replicaMessages {
				s.insist(t)
				if sent.Add(1) == int64(len(c.senders)*replicaMessages/2) {
					close(middle)
				}
			}
		})
	}
	select {
	case <-middle:
		halfway()
	case <-t.Context().Done():
	}
	senders.Wait()
	rest()
	others.Wait()
}

func TestThreeProcessesActAsOne(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	r := startReplicas(t, 3)
	front := &daemon{http: r.proxy.URL}
	c := newCrash(t, front)
	r.load(t, c, func() {
		r.daemons[1].end(syscall.SIGKILL)
		r.revive(t, 1)
	})
	for _, room := range c.rooms {
		messages := matrixtest.Bodies(history(c.readers[0].client, room))
		for _, read := range c.readers {
			matrixtest.Until(t, "everything is read", func() bool {
				_, _ = read.next(t.Context(), t, "0")
				return len(read.seen[room]) >= len(messages)
			})
		}
	}
	c.check(t)
	for _, d := range r.daemons {
		if strings.Contains(d.stderr.String(), "level=ERROR") {
			t.Errorf("a process complains: %s", d.stderr)
		}
	}
}

func TestWhatOneProcessIsToldTheOthersKnow(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	r := startReplicas(t, 3)
	alice, bob := r.client(t).Register("alice", "wordpass"), r.client(t).Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	since := bob.Sync("").NextBatch()

	typing := func(is bool) {
		r.at(t, 0, alice).Do(http.MethodPut, matrixtest.Path("rooms", room, "typing", alice.UserID), map[string]any{"typing": is, "timeout": 60_000}).OK()
	}
	shows := func(users ...any) func(*matrixtest.Response) bool {
		return func(answer *matrixtest.Response) bool {
			list, _ := answer.At("rooms", "join", room, "ephemeral", "events").([]any)
			return slices.ContainsFunc(list, func(e any) bool {
				event, _ := e.(map[string]any)
				content, _ := event["content"].(map[string]any)
				return event["type"] == "m.typing" && cmp.Equal(content["user_ids"], append([]any{}, users...))
			})
		}
	}
	// From here on, bob asks one process after the other.
	typing(true)
	since = bob.SyncUntil(since, shows(alice.UserID)).NextBatch()
	typing(false)
	since = bob.SyncUntil(since, shows()).NextBatch()

	r.at(t, 1, alice).Do(http.MethodPut, matrixtest.Path("presence", alice.UserID, "status"),
		map[string]any{"presence": "unavailable", "status_msg": "at tea"}).OK()
	bob.SyncUntil(since, func(answer *matrixtest.Response) bool {
		return strings.Contains(string(answer.Body), "at tea")
	})

	// A session that one process has begun is good everywhere, until another ends it.
	session := r.at(t, 0, r.client(t)).Login("alice", "wordpass")
	for i := range r.daemons {
		r.at(t, i, session).Do(http.MethodGet, matrixtest.Path("account", "whoami"), nil).OK()
	}
	r.at(t, 1, session).Do(http.MethodPost, matrixtest.Path("logout"), map[string]any{}).OK()
	for i := range r.daemons {
		matrixtest.Until(t, "the token is refused", func() bool {
			return r.at(t, i, session).Do(http.MethodGet, matrixtest.Path("account", "whoami"), nil).Status == http.StatusUnauthorized
		})
	}
}

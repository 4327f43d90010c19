package api

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server"
)

// ownCluster starts a PostgreSQL of the test's own, for being stopped, in a folder
// that a second one can be started in.
func ownCluster(t *testing.T) (running *cluster.Cluster, dir string) {
	t.Helper()
	dir, err := cluster.MakeThrowawayDir("homeserver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return startIn(t, dir), dir
}

func startIn(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	cluster, err := cluster.Start(t.Context(), cluster.Options{Dir: dir, Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, cluster) })
	return cluster
}

// stop may be called again.
func stop(t *testing.T, cluster *cluster.Cluster) {
	t.Helper()
	if err := cluster.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

// serverOn runs the whole API on a cluster.
func serverOn(t *testing.T, cluster *cluster.Cluster) (*server.API, *matrixtest.Client) {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Options{URL: cluster.URL("homeserver"), MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	a := newAPI(t, servicesOn(t, pool))
	return a, matrixtest.New(t, a.Handler())
}

// eventually repeats a request until it is answered with 200; until then nothing
// but 503 will do.
func eventually(c *matrixtest.Client, method, path string, body any) *matrixtest.Response {
	c.T.Helper()
	var answer *matrixtest.Response
	matrixtest.Until(c.T, method+" "+path, func() bool {
		answer = c.Do(method, path, body)
		return answer.Status != 503
	})
	return answer.OK()
}

// unavailable fails the test unless the answer asks to come again.
func unavailable(answer *matrixtest.Response) {
	seconds, err := strconv.Atoi(answer.Refused(503, "M_UNKNOWN").Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		answer.Refused(503, "with Retry-After")
	}
}

func TestPostgreSQLAwayAndBack(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster, dir := ownCluster(t)
	a, anyone := serverOn(t, cluster)
	alice := anyone.Register("alice", "wordpass")
	bob := anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	before := alice.SendText(room, "before")
	since := bob.Sync("").NextBatch()
	poll := waiting(t.Context(), bob, a, since)

	stop(t, cluster)
	send := func(txn string) string { return matrixtest.Path("rooms", room, "send", "m.room.message", txn) }
	for range 2 {
		unavailable(alice.Do("PUT", send("lost"), hello))
		unavailable(alice.Do("POST", "/createRoom", openRoom))
		unavailable(alice.Do("GET", matrixtest.Path("rooms", room, "messages")+"?dir=b", nil))
		unavailable(alice.Do("GET", matrixtest.Path("rooms", room, "state"), nil))
		unavailable(alice.Do("POST", matrixtest.Path("rooms", room, "leave"), nil))
		unavailable(alice.Do("GET", "/joined_rooms", nil))
		unavailable(alice.Do("GET", matrixtest.SyncPath("s999999"), nil))
		unavailable(alice.Do("POST", matrixtest.Path("user", alice.UserID, "filter"), `{}`))
		unavailable(anyone.Do("GET", aliasPath("#none:localhost"), nil))
		unavailable(anyone.Do("POST", "/login", `{"type":"m.login.password","user":"alice","password":"wordpass"}`))
	}

	startIn(t, dir)
	lost := eventually(alice, "PUT", send("lost"), hello).String("event_id")
	if status, err := poll(); err != nil || status != http.StatusOK {
		t.Errorf("the long poll that waited through it all: %d, %v", status, err)
	}
	if again := alice.Do("PUT", send("lost"), hello).OK().String("event_id"); again != lost {
		t.Errorf("sent again: %s, want %s", again, lost)
	}
	timeline := eventually(bob, "GET", matrixtest.SyncPath(since), nil).Timeline(room)
	if len(timeline) != 1 || timeline[0].ID != lost {
		t.Errorf("since before the outage: %+v, want %s", timeline, lost)
	}
	events := history(bob, room)
	if got := idsOf(events[len(events)-2:]); got[0] != before || got[1] != lost {
		t.Errorf("the room ends in %q, want %s and %s once each", got, before, lost)
	}
	anyone.Login("alice", "wordpass").CreateRoom(openRoom)
}

func TestPostgreSQLKilled(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	cluster, _ := ownCluster(t)
	_, anyone := serverOn(t, cluster)
	alice := anyone.Register("alice", "wordpass")
	room := alice.CreateRoom(openRoom)
	kept := alice.SendText(room, "kept")
	since := alice.Sync("").NextBatch()

	killPostmaster(t, cluster)
	path := matrixtest.Path("rooms", room, "send", "m.room.message", "after")
	after := eventually(alice, "PUT", path, hello).String("event_id")
	events := eventually(alice, "GET", matrixtest.Path("rooms", room, "messages")+"?dir=b&limit=2", nil).Events("chunk")
	if got := idsOf(events); len(got) != 2 || got[0] != after || got[1] != kept {
		t.Errorf("the room ends in %q, want %s and %s", got, kept, after)
	}
	alice.SyncUntil(since, matrixtest.Shows(room, after))
}

// In TestKilledUnderLoad senders do what clients do: they repeat what was not
// acknowledged, with the same transaction ID. Whatever the moment of the crash,
// everything is there once, in one order for everybody.
func TestKilledUnderLoad(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const senders, each = 6, 25
	cluster, _ := ownCluster(t)
	_, anyone := serverOn(t, cluster)
	alice, bob := anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	room := alice.CreateRoom(openRoom)
	bob.Join(room)
	since := bob.Sync("").NextBatch()

	var all sync.WaitGroup
	var acknowledged atomic.Int64
	halfway := make(chan struct{})
	ids := make([][]string, senders)
	for i := range ids {
		all.Go(func() {
			for n := range each {
				text := fmt.Sprintf("%d/%02d", i, n)
				answer := eventually(alice, "PUT", matrixtest.Path("rooms", room, "send", "m.room.message", text), map[string]any{"body": text})
				ids[i] = append(ids[i], text+" "+answer.String("event_id"))
				if acknowledged.Add(1) == senders*each/2 {
					close(halfway)
				}
			}
		})
	}
	var seen []string
	all.Go(func() { seen = follow(bob, room, since, senders*each) })
	<-halfway
	killPostmaster(t, cluster)
	all.Wait()

	var stored []string
	for _, e := range eventually(bob, "GET", matrixtest.Path("rooms", room, "messages")+"?dir=f&limit=1000", nil).Events("chunk") {
		if e.Type == "m.room.message" {
			stored = append(stored, e.Body()+" "+e.ID)
		}
	}
	if diff := cmp.Diff(stored, seen); diff != "" {
		t.Errorf("/sync does not tell what is stored: %s", diff)
	}
	for i := range ids {
		prefix := fmt.Sprintf("%d/", i)
		kept := slices.DeleteFunc(slices.Clone(stored), func(s string) bool { return !strings.HasPrefix(s, prefix) })
		if diff := cmp.Diff(ids[i], kept); diff != "" {
			t.Errorf("sender %d: what was acknowledged is not what is there: %s", i, diff)
		}
	}
}

// follow reads along by long polls, through gaps and outages, until it has so many
// messages.
func follow(c *matrixtest.Client, room, since string, count int) (seen []string) {
	c.T.Helper()
	for len(seen) < count {
		answer := eventually(c, "GET", matrixtest.SyncPath(since, "timeout", "30000"), nil)
		events := answer.Timeline(room)
		if limited, _ := answer.At("rooms", "join", room, "timeline", "limited").(bool); limited {
			path := matrixtest.Path("rooms", room, "messages") + "?dir=f&limit=1000&from=" + since
			to := answer.String("rooms", "join", room, "timeline", "prev_batch")
			events = append(eventually(c, "GET", path+"&to="+to, nil).Events("chunk"), events...)
		}
		for _, e := range events {
			seen = append(seen, e.Body()+" "+e.ID)
		}
		since = answer.NextBatch()
	}
	return seen
}

// killPostmaster ends the PostgreSQL that a cluster runs, without warning.
func killPostmaster(t *testing.T, cluster *cluster.Cluster) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), cluster.URL("homeserver"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // its server is dead by then
	var backend int
	if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		t.Fatal(err)
	}
	kill(t, parentOf(t, backend))
}

// parentOf returns the process that has started another.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ps", "-o", "ppid=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatalf("ask for the parent of process %d: %v", pid, err)
	}
	parent, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil || parent <= 1 {
		t.Fatalf("the parent of process %d is %q", pid, output)
	}
	return parent
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill process %d: %v", pid, err)
	}
}

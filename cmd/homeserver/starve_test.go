package main

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/cluster"
)

// starved is a server on a PostgreSQL of its own, which gets into trouble while the
// server runs. Somebody waits for news all the time.
type starved struct {
	t        *testing.T
	folder   string // of PostgreSQL
	database *cluster.Cluster
	*daemon
	alice, bob *matrixtest.Client
	room       string
	since      string
	waiting    <-chan *matrixtest.Response // bob's
	sent       int
}

// starve starts the server. The parameters are added to the URL of the database.
func starve(t *testing.T, parameters string, environ ...string) *starved {
	t.Helper()
	return starveIn(t, dataFolder(t), parameters, environ...)
}

// starveIn does so with PostgreSQL in a folder.
func starveIn(t *testing.T, folder, parameters string, environ ...string) *starved {
	t.Helper()
	s := &starved{t: t, folder: folder, database: startDatabase(t, folder)}
	t.Cleanup(func() {
		if err := s.database.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	s.daemon = serveFrom(t, t.TempDir(), append([]string{
		"HOMESERVER_DATABASE_URL=" + s.database.URL("homeserver") + parameters,
		"HOMESERVER_METRICS_LISTEN=localhost:0", "HOMESERVER_RATE_LIMITS_ENABLED=false",
	}, environ...)...)
	anyone := s.client(t)
	s.alice, s.bob = anyone.Register("alice", "wordpass"), anyone.Register("bob", "wordpass")
	s.room = s.alice.CreateRoom(map[string]any{"preset": "public_chat"})
	s.bob.Join(s.room)
	s.alice.SendText(s.room, "before")
	return s
}

// wait starts a /sync of bob that waits for what is new after this.
func (s *starved) wait() {
	s.t.Helper()
	s.since = s.bob.Sync("").NextBatch()
	s.waiting = poll(s.bob, s.since)
	s.untilWaiting(s.t, 1)
}

// admin connects to PostgreSQL as its superuser.
func (s *starved) admin() *pgx.Conn {
	s.t.Helper()
	conn, err := s.tryAdmin()
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func (s *starved) tryAdmin() (*pgx.Conn, error) {
	conn, err := pgx.Connect(s.t.Context(), strings.Replace(s.database.URL("homeserver"), "homeserver@", "postgres@", 1))
	if err == nil {
		s.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) }) // it may be closed already
	}
	return conn, err
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// send sends the next message, or the one again that was refused.
func (s *starved) send() *matrixtest.Response {
	text := "during " + strconv.Itoa(s.sent)
	return s.alice.Do(http.MethodPut, matrixtest.Path("rooms", s.room, "send", "m.room.message", text), map[string]any{"body": text})
}

// refusedForNow fails the test unless the answer is to come again.
func refusedForNow(t *testing.T, answer *matrixtest.Response) {
	t.Helper()
	answer.Refused(http.StatusServiceUnavailable, "M_UNKNOWN")
	if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); err != nil || wait < 1 {
		t.Errorf("Retry-After: %q", answer.Header.Get("Retry-After"))
	}
}

// wantTrouble fails the test unless what needs the database is refused, within the time
// that the client has, and all else is answered.
func (s *starved) wantTrouble() {
	s.t.Helper()
	refusedForNow(s.t, s.send())
	refusedForNow(s.t, s.lookBack())
	s.wantPeace()
}

// lookBack asks for an event by its time, which is never answered from memory.
func (s *starved) lookBack() *matrixtest.Response {
	return s.alice.Do(http.MethodGet, "/_matrix/client/v1"+matrixtest.Path("rooms", s.room, "timestamp_to_event")+"?dir=b&ts=9007199254740991", nil)
}

// wantPeace fails the test unless everything is answered that does not need the database.
func (s *starved) wantPeace() {
	s.t.Helper()
	s.alice.Do(http.MethodGet, "/_matrix/client/versions", nil).OK()
	s.alice.Do(http.MethodGet, "/account/whoami", nil).OK()
	s.bob.Do(http.MethodGet, matrixtest.SyncPath(s.since, "timeout", "0"), nil).OK()
	select {
	case answer := <-s.waiting:
		s.t.Fatalf("the waiting poll was answered although nothing has happened: %d %s", answer.Status, answer.Body)
	default:
	}
}

// wantRecovery waits until the server works again, and fails the test unless what was
// refused is there once, and is told to who has waited.
func (s *starved) wantRecovery() {
	s.t.Helper()
	var id string
	matrixtest.Until(s.t, "a message is taken again", func() bool {
		answer := s.send()
		id = answer.String("event_id")
		return answer.Status == http.StatusOK
	})
	if again := s.send().OK().String("event_id"); again != id {
		s.t.Errorf("the message was sent as %s, and then as %s", id, again)
	}
	matrixtest.Until(s.t, "history is read again", func() bool {
		return s.lookBack().Status == http.StatusOK
	})
	s.untilHealthy(s.t)
	events := history(s.bob, s.room)
	if last := events[len(events)-1]; last.ID != id {
		s.t.Errorf("the room ends in %s, want %s", last.ID, id)
	}
	if answer := (<-s.waiting).OK(); !matrixtest.Shows(s.room, id)(answer) {
		s.t.Errorf("the poll that has waited all the time does not show the message: %s", answer.Body)
	}
	s.sent++
	s.client(s.t).Login("alice", "wordpass")
}

func TestTableThatIsLocked(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	s := starve(t, "&lock_timeout=300")
	for _, table := range []string{"events", "journal, events, room_state, rooms, account_data, receipts"} {
		s.wait()
		admin := s.admin()
		execute(t, admin, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
		s.wantTrouble()
		execute(t, admin, "ROLLBACK")
		s.wantRecovery()
	}
}

// PostgreSQL stands still, with all connections open: nothing ends but by the server's
// own clock.
func TestPostgreSQLThatStandsStill(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("the processes of PostgreSQL cannot be listed")
	}
	matrixtest.Long(t)
	s := starve(t, "&statement_timeout=1000&connect_timeout=2")
	s.wait()
	all := processesOf(t, s.folder+"/data")
	goOn := func() {
		for _, pid := range all {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may have ended
		}
	}
	t.Cleanup(goOn)
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	s.wantTrouble()
	status, _ := get(t, s.http+"/health")
	if status != http.StatusServiceUnavailable {
		t.Errorf("health: %d", status)
	}
	goOn()
	s.wantRecovery()
}

// banish ends all of the server's sessions, and refuses it new ones.
func (s *starved) banish(t *testing.T, admin *pgx.Conn) {
	t.Helper()
	execute(t, admin, `ALTER ROLE homeserver CONNECTION LIMIT 0`)
	execute(t, admin, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'homeserver'`)
}

func TestOutOfConnections(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, s *starved) (release func()){
		"of the role": func(t *testing.T, s *starved) func() {
			t.Helper()
			admin := s.admin()
			s.banish(t, admin)
			return func() { execute(t, admin, `ALTER ROLE homeserver CONNECTION LIMIT -1`) }
		},
		"of PostgreSQL": func(t *testing.T, s *starved) func() {
			t.Helper()
			admin := s.admin()
			s.banish(t, admin)
			var others []*pgx.Conn
			for conn, err := s.tryAdmin(); err == nil; conn, err = s.tryAdmin() {
				others = append(others, conn)
			}
			execute(t, admin, `ALTER ROLE homeserver CONNECTION LIMIT -1`)
			return func() {
				for _, conn := range others {
					if err := conn.Close(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := starve(t, "")
			s.wait()
			release := take(t, s)
			s.wantTrouble()
			if status, _ := get(t, s.http+"/health"); status != http.StatusServiceUnavailable {
				t.Errorf("health: %d", status)
			}
			release()
			s.wantRecovery()
		})
	}
}

// All connections of the pool wait for a lock: further requests are refused before the
// waiting for the lock ends.
func TestPoolThatIsExhausted(t *testing.T) {
	t.Parallel()
	matrixtest.Long(t)
	const connections = 4
	s := starve(t, "&lock_timeout=0&statement_timeout=0", "HOMESERVER_DATABASE_MAX_CONNECTIONS="+strconv.Itoa(connections))
	s.wait()
	admin := s.admin()
	execute(t, admin, `BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
	stuck, end := context.WithCancel(t.Context())
	defer end()
	for range connections {
		request := s.alice.Request(http.MethodGet, matrixtest.Path("rooms", s.room, "messages")+"?dir=b", nil).WithContext(stuck)
		go func() {
			if response, err := s.alice.HTTP.Do(request); err == nil {
				_ = response.Body.Close() // it is not looked at
			}
		}()
	}
	matrixtest.Until(t, "all connections wait for the lock", func() bool {
		var waiting int
		err := admin.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass`).Scan(&waiting)
		return err == nil && waiting == connections
	})
	refusedForNow(t, s.alice.Do(http.MethodGet, "/devices", nil))
	if status, _ := get(t, s.http+"/health"); status != http.StatusServiceUnavailable {
		t.Errorf("health: %d", status)
	}
	s.wantPeace()
	execute(t, admin, `ROLLBACK`)
	s.wantRecovery()
}

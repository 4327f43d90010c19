package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/identity"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrixtest"
	"homeserver/internal/media"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/reports"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/safehttp"
	"homeserver/internal/syncstream"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// sharedSecret is the one of the servers that newServer makes.
const sharedSecret = "correct horse"

// services are real ones on a database of the test's own.
func services(t testing.TB) Options { return servicesOn(t, postgrestest.New(t)) }

// testSigner signs for the servers of all tests.
var testSigner = &event.Signer{ServerName: "localhost", KeyID: "ed25519:test", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}

// servicesOn wires the services together like the server does. They stop with the
// test: first what waits, then what writes. Addresses can be proved where a change
// says how.
func servicesOn(t testing.TB, pool *pgxpool.Pool, changes ...func(*threepid.Options)) Options {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	addresses := threepid.Options{
		Pool: pool, ServerName: "localhost", BaseURL: "http://localhost:8008", Registration: true,
		Signer: testSigner,
	}
	for _, change := range changes {
		change(&addresses)
	}
	threepids := threepid.New(addresses)
	t.Cleanup(threepids.Stop)
	users := auth.New(pool, auth.Options{
		ServerName:          "localhost",
		Argon:               auth.ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1},
		RegistrationEnabled: true,
		GuestsEnabled:       true,
		Threepids:           threepids,
		SharedSecret:        sharedSecret,
		Logger:              log,
	})
	profiles := profile.New(pool)
	limits := addresses.Limits
	book := journal.New(pool, journal.Options{Limits: limits, Log: log})
	house := rooms.New(rooms.Options{
		Pool: pool, Journal: book, Profiles: profiles, Log: log,
		Signer: testSigner, Limits: limits, Guests: users.Guests,
	})
	data := accountdata.New(pool, book, house.Timeline, 0)
	read := receipts.New(pool, book, house.Timeline, data, 0)
	pushes := push.New(push.Options{Pool: pool, Journal: book, Rooms: house.Timeline, ReadUpTo: read.Marks, Ignored: data.Ignored})
	ticks := journal.NewTicks()
	typists := typing.New(house.Timeline, book, ticks, nil, 0)
	online := presence.New(presence.Options{Pool: pool, Journal: book, Rooms: house.Timeline, Profiles: profiles, Ticks: ticks})
	stream := syncstream.New(syncstream.Options{
		Pool: pool, Journal: book, Rooms: house.Timeline, Data: data, Receipts: read, Push: pushes, Typing: typists,
		Presence: online, Ticks: ticks,
	})
	files, err := media.New(media.Options{Pool: pool, Dir: t.TempDir(), ServerName: "localhost", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	found := search.New(search.Options{Pool: pool, Journal: book, Rooms: house.Timeline, Ignored: data.Ignored})
	people := userdirectory.New(pool, book, house.Timeline, profiles)
	profiles.OnChange(house.UpdateProfile)
	profiles.CountBy(house.CountProfile)
	users.OnDeactivate(house.LeaveAll)
	for _, erase := range []func(context.Context, string) error{
		house.Timeline.Erase, profiles.Erase, data.Erase, read.Erase, pushes.Erase, stream.Erase, online.Erase,
	} {
		users.OnErase(erase)
	}
	if err := book.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	found.Start(t.Context())
	people.Start(t.Context())
	t.Cleanup(func() {
		found.Stop()
		people.Stop()
		stream.Stop()
		files.Stop()
		if err := book.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return Options{
		Auth: users, Threepids: threepids, Profile: profiles, Journal: book, Rooms: house, Stream: stream, Media: files, Push: pushes,
		Data: data, Receipts: read, Typing: typists, Presence: online,
		Searches: found, Directory: people, Turn: turn.New(turn.Options{}),
		Reports:     reports.New(reports.Options{Pool: pool, Rooms: house.Timeline, Log: log}),
		Invitations: thirdpartyinvite.New(book, house, identity.New(identity.Options{Outgoing: safehttp.New(safehttp.Options{})}), limits),
		ServerName:  "localhost", PublicBaseURL: "http://localhost:8008/", Limits: limits, Logger: log,
	}
}

// newServer runs the whole API and gives a client for it.
func newServer(t testing.TB) *matrixtest.Client {
	t.Helper()
	return matrixtest.New(t, newAPI(t, services(t)).Handler())
}

func newAPI(t testing.TB, opts Options) *API {
	t.Helper()
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bench is an API without services, for tests of what all endpoints share; its
// routes are the test's own, and it keeps what is logged.
type bench struct {
	*API
	log *logBuffer
}

func newBench(t testing.TB, opts Options) bench {
	t.Helper()
	b := bench{log: &logBuffer{written: make(chan struct{})}}
	opts.Logger = slog.New(LogRequestIDs(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	b.API = newAPI(t, opts)
	return b
}

// serve runs a server with the routes, which are all mounted at the root.
func (b bench) serve(t testing.TB, table ...route) *matrixtest.Client {
	t.Helper()
	c := matrixtest.New(t, b.handle(t, table...))
	c.Prefix = ""
	return c
}

func (b bench) handle(t testing.TB, table ...route) http.Handler {
	t.Helper()
	for i := range table {
		if table[i].prefixes == nil {
			table[i].prefixes = root
		}
	}
	handler, err := b.build(table)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// get is a route that answers GET at a path.
func get(path string, h func(*http.Request) (any, error)) route {
	return route{method: http.MethodGet, path: path, handle: public(h)}
}

// post is a route that answers POST at a path.
func post(path string, h func(*http.Request) (any, error)) route {
	return route{method: http.MethodPost, path: path, handle: public(h)}
}

func ok(*http.Request) (any, error) { return empty{}, nil }

// logBuffer keeps what is logged, and tells of each line.
type logBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // closed and replaced by each line
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(p)
}

// wait waits until the text stands in the log, and gives all of the log. The
// access log is written after the answer, so a client has its answer first.
func (l *logBuffer) wait(t testing.TB, text string) string {
	t.Helper()
	late := time.After(matrixtest.Patience)
	for {
		l.mu.Lock()
		all, written := l.text.String(), l.written
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		select {
		case <-written:
		case <-late:
			t.Fatalf("%q was never logged, but:\n%s", text, all)
		}
	}
}

// record sends a request straight to a handler.
func record(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestNewRefusesMetricsRegisteredTwice(t *testing.T) {
	t.Parallel()
	first := newBench(t, Options{})
	if _, err := New(Options{Metrics: first.registry}); err == nil {
		t.Error("a second API on the same registry was not refused")
	}
}

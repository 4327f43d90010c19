package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/auth/session"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const (
	testServer   = "test.example"
	testPassword = "correct horse"
)

// The limits of the package session.
const (
	maxDevices           = 1000
	maxOpenIDTokens      = 100
	cacheLifetime        = 30 * time.Second
	repeatWindow         = time.Minute
	maxRepeatedRefreshes = 10
	rememberedTokens     = 5
)

var (
	cheapArgon = ArgonParams{MemoryKiB: 8, Passes: 1, Threads: 1}
	testClient = matrix.Client{Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "curl/8"}
	dummyAuth  = json.RawMessage(`{"type":"m.login.dummy"}`)
)

// newTestService makes a service on a database of its own, with open registration,
// cheap hashes and no rate limits unless an option says otherwise.
func newTestService(t testing.TB, options ...func(*Options)) (*Service, *matrixtest.Clock) {
	t.Helper()
	c := &matrixtest.Clock{}
	o := Options{
		ServerName:          testServer,
		Argon:               cheapArgon,
		RegistrationEnabled: true,
		Logger:              slog.New(slog.DiscardHandler),
		Now:                 c.Now,
	}
	for _, option := range options {
		option(&o)
	}
	return New(postgrestest.New(t), o), c
}

// sibling returns another process on the same database.
func sibling(s *Service) *Service { return New(s.pool, s.o) }

// serverOn returns another process on the same database, with a journal, that calls the
// hooks for changes.
func serverOn(t testing.TB, s *Service, hooks func(server *Service)) *Service {
	t.Helper()
	o := s.o
	o.Journal = journal.New(s.pool, journal.Options{})
	server := New(s.pool, o)
	hooks(server)
	must(t, o.Journal.Start(t.Context()))
	t.Cleanup(func() { must(t, o.Journal.Stop(context.Background())) })
	return server
}

func userID(localpart string) string { return "@" + localpart + ":" + testServer }

// mustRegister makes an account with the test password and a device.
func mustRegister(t testing.TB, s *Service, name string, changes ...func(*RegisterRequest)) session.Credentials {
	t.Helper()
	r := RegisterRequest{Username: name, Password: testPassword, Auth: dummyAuth}
	for _, change := range changes {
		change(&r)
	}
	got, err := s.Register(t.Context(), r, testClient)
	if err != nil {
		t.Fatalf("register %s: %v", name, err)
	}
	return got
}

func loginRequest(name, password string) LoginRequest {
	return LoginRequest{
		Type: uia.StagePassword, Identifier: &Identifier{Type: "m.id.user", User: name}, Password: password,
	}
}

// mustLogin logs in with the test password.
func mustLogin(t testing.TB, s *Service, name string, changes ...func(*LoginRequest)) session.Credentials {
	t.Helper()
	r := loginRequest(name, testPassword)
	for _, change := range changes {
		change(&r)
	}
	got, err := s.Login(t.Context(), r, testClient)
	if err != nil {
		t.Fatalf("log in as %s: %v", name, err)
	}
	return got
}

func onDevice(id string) func(*LoginRequest) {
	return func(r *LoginRequest) { r.DeviceID = id }
}

func mustAuthenticate(t testing.TB, s *Service, token string) matrix.Session {
	t.Helper()
	got, err := s.Sessions.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatalf("authenticate: %v", err)
	}
	return got
}

// wantUnknown checks that a token is refused, and whether softly.
func wantUnknown(t testing.TB, s *Service, token string, soft bool) {
	t.Helper()
	_, err := s.Sessions.Authenticate(t.Context(), token)
	wantSoftLogout(t, err, soft)
}

func wantSoftLogout(t testing.TB, err error, soft bool) {
	t.Helper()
	e := matrixtest.WantCode(t, err, matrix.UnknownToken)
	if e.HTTPStatus() != http.StatusUnauthorized || e.Fields["soft_logout"] != soft {
		t.Fatalf("got %d with %v, want 401 with soft_logout %v", e.HTTPStatus(), e.Fields, soft)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// passwordAuth returns an auth object with a password, and with a session unless empty.
func passwordAuth(t testing.TB, name, password, session string) json.RawMessage {
	t.Helper()
	object := map[string]any{
		"type":       uia.StagePassword,
		"identifier": map[string]string{"type": "m.id.user", "user": name},
		"password":   password,
	}
	if session != "" {
		object["session"] = session
	}
	auth, err := json.Marshal(object)
	must(t, err)
	return auth
}

// challenge is the body of a 401 answer, as a client reads it.
type challenge struct {
	Flows     []flow         `json:"flows"`
	Params    map[string]any `json:"params"`
	Session   string         `json:"session"`
	Completed []string       `json:"completed"`
}

// flow is one of the flows in it.
type flow struct {
	Stages []string `json:"stages"`
}

// wantChallenge checks that an error asks for interactive authentication, with the
// errcode ("" for none).
func wantChallenge(t testing.TB, err error, code matrix.Code) challenge {
	t.Helper()
	e, ok := errors.AsType[*matrix.Error](err)
	if !ok || e.Code != code || e.HTTPStatus() != http.StatusUnauthorized {
		t.Fatalf("got the error %v, want a challenge with %q", err, code)
	}
	body, err := json.Marshal(e.Fields)
	must(t, err)
	var got challenge
	must(t, json.Unmarshal(body, &got))
	if got.Session == "" || len(got.Flows) == 0 || got.Params == nil {
		t.Fatalf("got the challenge %s, want flows, params and session", body)
	}
	return got
}

// count returns the number that a query returns.
func count(t testing.TB, s *Service, sql string, args ...any) int {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), sql, args...)
	must(t, err)
	n, err := pgx.CollectOneRow(rows, pgx.RowTo[int])
	must(t, err)
	return n
}

// canceled returns a context that has ended.
func canceled(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// limitFailedLogins limits the wrong passwords for an account.
func limitFailedLogins(limit ratelimit.Limit) func(*Options) {
	return func(o *Options) {
		o.Limits = ratelimit.NewLimits(map[ratelimit.Kind]ratelimit.Limit{ratelimit.FailedLogin: limit}, o.Now, 0)
	}
}

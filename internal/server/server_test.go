package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/auth"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres/cluster"
	"homeserver/internal/server/config"
)

// clientAt returns a client for one listener of a server, which verifies its certificate.
func clientAt(t testing.TB, s *Server, i int) *matrixtest.Client {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	if s.CAFile() != "" {
		content, err := os.ReadFile(s.CAFile())
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(content)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return matrixtest.At(t, s.Addresses()[i].URL(), &http.Client{Transport: transport})
}

// get returns status and body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServerAnswersOnEveryListener(t *testing.T) {
	t.Parallel()
	s := mustStart(t, testConfig(t))
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	if alice.UserID != "@alice:localhost" {
		t.Errorf("got %s", alice.UserID)
	}
	over := clientAt(t, s, 1).Login("alice", "wordpass")
	if got := over.Do(http.MethodGet, "/account/whoami", nil).OK().String("device_id"); got != over.DeviceID {
		t.Errorf("got %s, want %s", got, over.DeviceID)
	}
	response, err := over.HTTP.Get(over.BaseURL + "/_matrix/client/versions")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("TLS without HTTP/2: %s", response.Proto)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := mustStart(t, testConfig(t))
	if code, body := get(t, s.Addresses()[0].URL()+"/health"); code != http.StatusOK || !strings.Contains(body, "ok") {
		t.Errorf("got %d %s", code, body)
	}
}

func TestMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Metrics.Listen = "localhost:0"
	s := mustStart(t, cfg)
	metrics := config.Listener{Address: s.MetricsAddress()}.URL()
	if code, body := get(t, metrics+"/metrics"); code != http.StatusOK || !strings.Contains(body, "go_goroutines") {
		t.Errorf("got %d %s", code, body)
	}
	if code, _ := get(t, metrics+"/_matrix/client/versions"); code != http.StatusNotFound {
		t.Errorf("the client API is on the listener for metrics: %d", code)
	}
	for _, page := range []string{"/health", "/ready", "/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		if code, body := get(t, metrics+page); code != http.StatusOK {
			t.Errorf("%s: got %d %s", page, code, body)
		}
	}
	for _, l := range s.Addresses() {
		c := matrixtest.At(t, l.URL(), clientAt(t, s, 1).HTTP)
		c.Prefix = ""
		for _, page := range []string{"/metrics", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/vars"} {
			c.Do(http.MethodGet, page, nil).Refused(http.StatusNotFound, "M_UNRECOGNIZED")
		}
	}
}

func TestMetricsAreOffByDefault(t *testing.T) {
	t.Parallel()
	if got := mustStart(t, testConfig(t)).MetricsAddress(); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestConfigurationReachesTheServices(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	closed := false
	cfg.ServerName = "example.org"
	cfg.Registration.Enabled = &closed
	cfg.Registration.SharedSecret = "s3cret"
	cfg.PublicBaseURL = "https://matrix.example.org"
	cfg.Support.Admins, cfg.Support.Security = []string{"@admin:example.org"}, []string{"security@example.org"}
	cfg.Calls.LiveKitURLs = []string{"https://livekit.example.org"}
	cfg.PolicyServer.Ed25519Key = "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"
	s := mustStart(t, cfg)
	c := clientAt(t, s, 0)
	c.Do(http.MethodPost, "/register", map[string]any{
		"username": "bob", "auth": map[string]string{"type": "m.login.dummy"},
	}).Refused(http.StatusForbidden, "M_FORBIDDEN")
	c.Do(http.MethodGet, "/_synapse/admin/v1/register", nil).OK()
	if got := string(c.Do(http.MethodGet, "/.well-known/matrix/client", nil).OK().Body); !strings.Contains(got, cfg.PublicBaseURL) ||
		!strings.Contains(got, cfg.Calls.LiveKitURLs[0]) {
		t.Errorf("got %s", got)
	}
	policy := c.Do(http.MethodGet, "/.well-known/matrix/policy_server", nil).OK()
	if policy.At("public_keys", "ed25519") != cfg.PolicyServer.Ed25519Key {
		t.Errorf("got %s", policy.Body)
	}
	support := c.Do(http.MethodGet, "/.well-known/matrix/support", nil).OK()
	if support.At("contacts", 0, "matrix_id") != "@admin:example.org" || support.At("contacts", 1, "email_address") != "security@example.org" {
		t.Errorf("got %s", support.Body)
	}
}

func TestAccountsAreThereOnceTheServerAnswers(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Password.MinLength = 5
	quiet := slog.New(slog.DiscardHandler)
	if _, err := Start(t.Context(), cfg, quiet, Accounts(auth.NewAccount{Username: "carol", Password: "1234"})); err == nil {
		t.Fatal("a password of four characters is accepted where five are the least")
	}
	cfg = testConfig(t)
	s, err := Start(t.Context(), cfg, quiet, Accounts(auth.NewAccount{Username: "carol", Password: "12345"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	clientAt(t, s, 0).Do(http.MethodPost, "/login", map[string]any{
		"type": "m.login.password", "user": "carol", "password": "12345",
	}).OK()
}

func TestRequestBodyLimit(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Limits.RequestBody = 128 << 10
	c := clientAt(t, mustStart(t, cfg), 0)
	body := map[string]string{"username": strings.Repeat("x", 128<<10)}
	c.Do(http.MethodPost, "/register", body).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.RateLimits.Enabled = true
	cfg.RateLimits.Login = config.Rate{PerSecond: 1e-6, Burst: 1}
	c := clientAt(t, mustStart(t, cfg), 0)
	login := map[string]string{"type": "m.login.password", "user": "nobody", "password": "x"}
	c.Do(http.MethodPost, "/login", login).Refused(http.StatusForbidden, "M_FORBIDDEN")
	c.Do(http.MethodPost, "/login", login).Refused(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
}

func TestStartThatFailsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Listen = []config.Listener{{Address: freeAddress(t)}}
	address, err := url.Parse(string(cfg.Database.URL))
	if err != nil {
		t.Fatal(err)
	}
	address.Path += "_missing"
	cfg.Database.URL = config.Secret(address.String())
	if _, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Fatalf("got %v", err)
	}
	if err := connects(t, cfg.Listen[0].Address); err == nil {
		t.Error("the address is held")
	}
	good := testConfig(t)
	good.DataDir, good.Listen = cfg.DataDir, cfg.Listen
	mustStart(t, good)
}

// freeAddress returns an address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	s, err := listening(t, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := s.Addresses()[0].Address
	shutDown(t, s)
	return address
}

func TestStartCanBeCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, testConfig(t), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started with a context that had ended")
	}
}

func TestShutdownAnswersWaitingPolls(t *testing.T) {
	t.Parallel()
	s := mustStart(t, testConfig(t))
	alice := clientAt(t, s, 0).Register("alice", "wordpass")
	since := alice.Do(http.MethodGet, "/sync", nil).OK().String("next_batch")
	answered := make(chan string, 1)
	go func() {
		answered <- alice.Do(http.MethodGet, "/sync?timeout=600000&since="+since, nil).OK().String("next_batch")
	}()
	waitForRequest(t, s)
	started := time.Now()
	shutDown(t, s)
	if took := time.Since(started); took >= drainTimeout {
		t.Errorf("the end took %v, so that the poll was broken off", took)
	}
	if got := <-answered; got == "" {
		t.Error("the poll was not answered")
	}
	if err := connects(t, s.Addresses()[0].Address); err == nil {
		t.Error("still listens")
	}
}

// waitForRequest returns once a request beside our own is being answered.
func waitForRequest(t *testing.T, s *Server) {
	t.Helper()
	for t.Context().Err() == nil {
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "homeserver_http_requests_in_flight" && f.GetMetric()[0].GetGauge().GetValue() > 0 {
				return
			}
		}
	}
}

func TestSecondShutdownDoesNothing(t *testing.T) {
	t.Parallel()
	s := mustStart(t, testConfig(t))
	shutDown(t, s)
	shutDown(t, s)
}

func TestPrivateClusterKeepsWhatWasWritten(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir, err := cluster.MakeThrowawayDir("homeserver-test-server-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := testConfig(t)
	cfg.Database.URL, cfg.ThrowawayCluster = "", dir
	cfg.DataDir = filepath.Join(dir, "server")

	first := mustStart(t, cfg)
	clientAt(t, first, 0).Register("alice", "wordpass")
	// The commands of the operator work beside the server, and alone.
	made := func(name string) {
		err := WithAccounts(t.Context(), cfg, slog.New(slog.DiscardHandler), func(accounts *auth.Service) error {
			_, err := accounts.CreateAccount(t.Context(), auth.NewAccount{Username: name, Password: "wordpass"})
			return err
		})
		if err != nil {
			t.Errorf("make %s: %v", name, err)
		}
	}
	made("bob")
	clientAt(t, first, 0).Login("bob", "wordpass")
	shutDown(t, first)
	made("carol")

	from, to, err := Migrate(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil || from != to || to == 0 {
		t.Errorf("migrated from %d to %d, %v", from, to, err)
	}
	second := mustStart(t, cfg)
	for _, name := range []string{"alice", "bob", "carol"} {
		clientAt(t, second, 0).Login(name, "wordpass")
	}
}

func TestFailedTLSHandshakesAreNoWarnings(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"http: TLS handshake error from 127.0.0.1:1: remote error: tls: unknown certificate authority\n": "",
		"http: TLS handshake error from 127.0.0.1:1: acme/autocert: no token\n":                          "level=WARN",
		"http: Accept error: too many open files; retrying in 5ms\n":                                     "level=WARN",
	} {
		var log syncBuffer
		n, err := httpLog{slog.New(slog.NewTextHandler(&log, nil))}.Write([]byte(line))
		if err != nil || n != len(line) {
			t.Errorf("wrote %d, %v", n, err)
		}
		if got := log.String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: logged %q", line, got)
		}
	}
}

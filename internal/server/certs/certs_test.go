package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"homeserver/internal/server/config"
)

// clock is a time that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// testConfig returns a configuration with a data folder of its own.
func testConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	return cfg
}

// mustLoad opens a source; log gets what it logs.
func mustLoad(t *testing.T, cfg *config.Config, log io.Writer, now func() time.Time) *Source {
	t.Helper()
	src, err := load(cfg, slog.New(slog.NewTextHandler(log, nil)), now)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// serve answers "hello" over TLS until the test ends, and returns host:port.
func serve(t *testing.T, src *Source) string {
	t.Helper()
	// Not httptest, which shows a certificate of its own to clients that don't name the server.
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		}),
		TLSConfig:         src.TLSConfig(),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { _ = server.ServeTLS(listener, "", "") })
	t.Cleanup(func() {
		_ = server.Close()
		done.Wait()
	})
	return listener.Addr().String()
}

// handshake returns the certificate that the server shows to a client that trusts the file caFile and
// knows the server by the name, and whose clock is the server's.
func handshake(t *testing.T, src *Source, caFile, name string) (*x509.Certificate, error) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, caFile)) {
		t.Fatalf("%s holds no certificate", caFile)
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, Time: src.rotation.now}}
	conn, err := dialer.DialContext(t.Context(), "tcp", serve(t, src))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func mustHandshake(t *testing.T, src *Source, caFile, name string) *x509.Certificate {
	t.Helper()
	certificate, err := handshake(t, src, caFile, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return certificate
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestCurlVerifiesTheLocalAuthority(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	src := mustLoad(t, testConfig(t), io.Discard, time.Now)
	_, port, err := net.SplitHostPort(serve(t, src))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		out, err := exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", "--cacert", src.CAFile(),
			"https://"+host+":"+port+"/").CombinedOutput()
		if err != nil || string(out) != "hello" {
			t.Errorf("%s: %s (%v)", host, out, err)
		}
	}
	out, err := exec.CommandContext(t.Context(), curl, "-sS", "--noproxy", "*", "https://localhost:"+port+"/").CombinedOutput()
	if err == nil {
		t.Errorf("curl trusts the server without --cacert: %s", out)
	}
}

func TestLocalCertificateIsForEveryNameOfTheServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ serverName, baseURL, want string }{
		{"localhost", "", "localhost 127.0.0.1 ::1"},
		{"Example.org:8448", "https://matrix.example.org:443/", "localhost 127.0.0.1 ::1 example.org matrix.example.org"},
		{"[2001:DB8::1]:8448", "", "localhost 2001:db8::1"},
	} {
		cfg := testConfig(t)
		cfg.ServerName, cfg.PublicBaseURL = test.serverName, test.baseURL
		src := mustLoad(t, cfg, io.Discard, time.Now)
		for name := range strings.FieldsSeq(test.want) {
			mustHandshake(t, src, src.CAFile(), name)
		}
		if _, err := handshake(t, src, src.CAFile(), "elsewhere.org"); err == nil {
			t.Error("the certificate is good for a name that is not the server's")
		}
		before := read(t, filepath.Join(cfg.TLSDir(), serverPair))
		mustLoad(t, cfg, io.Discard, time.Now)
		if !bytes.Equal(before, read(t, filepath.Join(cfg.TLSDir(), serverPair))) {
			t.Errorf("%s: the next start does not use the certificate that is there", test.serverName)
		}
	}
}

func TestTLS12IsTheOldestSpoken(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	acme := testConfig(t)
	acme.ServerName, acme.TLS.ACME.Enabled = "example.org", true
	for _, cfg := range []*config.Config{cfg, acme} {
		src := mustLoad(t, cfg, io.Discard, time.Now)
		if got := src.TLSConfig().MinVersion; got != tls.VersionTLS12 {
			t.Errorf("got %s", tls.VersionName(got))
		}
	}
}

func TestHTTPHandlerWithoutACMEIsTheHandler(t *testing.T) {
	t.Parallel()
	src := mustLoad(t, testConfig(t), io.Discard, time.Now)
	w := httptest.NewRecorder()
	src.HTTPHandler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/.well-known/acme-challenge/x", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("got %d", w.Code)
	}
}

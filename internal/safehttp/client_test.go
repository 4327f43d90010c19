package safehttp

import (
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// proxied counts what comes to the proxy that the environment of all these tests
// names.
var proxied atomic.Int32

func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, proxy.URL); err != nil {
			os.Exit(1)
		}
	}
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

// site runs a web site for the time of the test, on 127.0.0.1.
func site(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// local returns a client that may connect to this machine.
func local(o Options) *Client {
	o.AllowedRanges = prefixes("127.0.0.0/8")
	return New(o)
}

// get returns status and body of an answer, or the first error.
func get(t *testing.T, c *Client, url string) (int, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body), err
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestRefusesThisMachineUnlessAllowed(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	server := site(t, func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		hello(w, r)
	})
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	strict := New(Options{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.1.2.3",
	} {
		_, _, err := get(t, strict, "http://"+host+":"+port+"/")
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: got %v, want %v", host, err, ErrForbidden)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	if status, body, err := get(t, local(Options{}), server.URL); status != http.StatusOK || body != "hello" || err != nil {
		t.Errorf("allowed: got %d %q %v", status, body, err)
	}
}

func TestEachRedirectIsChecked(t *testing.T) {
	t.Parallel()
	server := site(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	})
	c := local(Options{MaxRedirects: 3})
	for _, to := range []string{"http://169.254.169.254/latest/meta-data", "http://[fd00::1]/", "https://10.0.0.1/"} {
		if _, _, err := get(t, c, server.URL+"/?to="+to); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: got %v, want %v", to, err, ErrForbidden)
		}
	}
	for _, to := range []string{"file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/"} {
		if _, _, err := get(t, c, server.URL+"/?to="+to); err == nil {
			t.Errorf("%s was followed", to)
		}
	}
}

func TestRedirectsAreCounted(t *testing.T) {
	t.Parallel()
	server := site(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" {
			t.Errorf("a Referer was sent: %s", r.Header.Get("Referer"))
		}
		left, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || left == 0 {
			hello(w, r)
			return
		}
		http.Redirect(w, r, "/"+strconv.Itoa(left-1), http.StatusMovedPermanently)
	})
	c := local(Options{MaxRedirects: 3})
	if _, body, err := get(t, c, server.URL+"/3"); body != "hello" || err != nil {
		t.Errorf("three redirects: got %q %v", body, err)
	}
	if _, _, err := get(t, c, server.URL+"/4"); err == nil {
		t.Error("a fourth redirect was followed")
	}
	if status, _, err := get(t, local(Options{}), server.URL+"/1"); status != http.StatusMovedPermanently || err != nil {
		t.Errorf("with none allowed: got %d %v, want the redirect itself", status, err)
	}
}

func TestBodyIsLimited(t *testing.T) {
	t.Parallel()
	server := site(t, func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	})
	c := local(Options{MaxBodyBytes: 1000})
	if _, body, err := get(t, c, server.URL+"/1000"); len(body) != 1000 || err != nil {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
	_, body, err := get(t, c, server.URL+"/1001")
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); !tooLarge || len(body) > 1000 {
		t.Errorf("one byte more: got %d bytes, %v", len(body), err)
	}
}

func TestBodyIsLimitedAfterDecompression(t *testing.T) {
	t.Parallel()
	server := site(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		_, _ = io.WriteString(packed, strings.Repeat("x", 10<<20))
		_ = packed.Close()
	})
	_, body, err := get(t, local(Options{MaxBodyBytes: 50_000}), server.URL)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); !tooLarge || len(body) > 50_000 {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
}

func TestTimeIsLimited(t *testing.T) {
	t.Parallel()
	for name, stall := range map[string]http.HandlerFunc{
		"before the answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"within the body": func(w http.ResponseWriter, r *http.Request) {
			hello(w, r)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := site(t, stall)
			_, _, err := get(t, local(Options{Timeout: 50 * time.Millisecond}), server.URL)
			if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() {
				t.Errorf("got %v, want a timeout", err)
			}
		})
	}
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	t.Parallel()
	// To a private address outside of this machine a proxy would be used.
	for _, url := range []string{"http://192.0.2.1/", "https://192.0.2.1/"} {
		if _, _, err := get(t, New(Options{}), url); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: got %v, want %v", url, err, ErrForbidden)
		}
	}
	if n := proxied.Load(); n != 0 {
		t.Errorf("the proxy got %d requests", n)
	}
}

func TestUserAgent(t *testing.T) {
	t.Parallel()
	server := site(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) })
	if _, body, _ := get(t, local(Options{}), server.URL); body != "homeserver" {
		t.Errorf("by default: got %q", body)
	}
	if _, body, _ := get(t, local(Options{UserAgent: "example.org"}), server.URL); body != "example.org" {
		t.Errorf("configured: got %q", body)
	}
}

func TestUnknownCertificateIsRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(hello))
	t.Cleanup(server.Close)
	if _, body, err := get(t, local(Options{}), server.URL); err == nil {
		t.Errorf("got %q from a server with a certificate of its own making", body)
	}
}

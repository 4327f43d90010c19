package safehttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// TestNoSpellingOfAnAddressGetsThrough tries the ways to write 127.0.0.1 that some
// resolver takes for it.
func TestNoSpellingOfAnAddressGetsThrough(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	server := site(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{MaxRedirects: 3})
	for _, host := range []string{
		"2130706433", "0x7f000001", "017700000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "0", "00000127.0.0.1",
		"127.0.0.1.", "localhost.", "LOCALHOST", "lOcAlHoSt.", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]",
		"[64:ff9b::127.0.0.1]", "[::1%25lo]", "[fe80::1%25lo]", "example.org@127.0.0.1", "127.0.0.1%2f@127.0.0.1", "①②⑦.0.0.1", "127。0。0。1",
	} {
		target, err := url.Parse("http://" + host + ":" + port + "/")
		if err != nil {
			continue // it does not even get so far
		}
		request := (&http.Request{Method: http.MethodGet, URL: target, Header: http.Header{}}).WithContext(t.Context())
		answer, err := c.Do(request)
		if err == nil {
			t.Errorf("%s was reached", host)
			_ = answer.Body.Close()
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// In TestRedirectsToThisMachineAreRefused a site that may be reached redirects the client to
// addresses that may not be reached.
func TestRedirectsToThisMachineAreRefused(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	inside := site(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	_, port, err := net.SplitHostPort(inside.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		outside := site(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::ffff:127.0.0.2]:"+port+"/")
			w.WriteHeader(status)
		})
		c := New(Options{MaxRedirects: 3, AllowedRanges: prefixes("127.0.0.1/32")})
		if _, _, err := get(t, c, outside.URL); !errors.Is(err, ErrForbidden) {
			t.Errorf("%d: got %v, want %v", status, err, ErrForbidden)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// nameServer answers each question for addresses with the next of its answers.
type nameServer struct {
	mu      sync.Mutex
	answers [][]netip.Addr
	asked   int
}

func (s *nameServer) next() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	return answer
}

// serve answers questions until the socket is closed.
func (s *nameServer) serve(socket net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		question := m.Questions[0]
		header := dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class}
		if question.Type == dnsmessage.TypeA {
			for _, address := range s.next() {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: address.As4()}})
			}
		}
		packed, err := m.Pack()
		if err != nil {
			continue
		}
		if _, err := socket.WriteTo(packed, from); err != nil {
			return
		}
	}
}

// TestNamesThatChangeTheirAddress looks at each address in the moment in which it is
// connected to, whatever the name meant before.
func TestNamesThatChangeTheirAddress(t *testing.T) {
	t.Parallel()
	address := netip.MustParseAddr
	names := &nameServer{answers: [][]netip.Addr{
		{address("127.0.0.1")}, // allowed here
		{address("127.0.0.2")}, // not
		{address("10.0.0.1"), address("169.254.169.254"), address("127.0.0.2")},
	}}
	socket, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { names.serve(socket) })
	t.Cleanup(func() {
		_ = socket.Close()
		serving.Wait()
	})
	server := site(t, hello)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	c := New(Options{AllowedRanges: prefixes("127.0.0.1/32")})
	dialer := &net.Dialer{
		Control: guardOn(prefixes("127.0.0.1/32")).control,
		Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", socket.LocalAddr().String())
		}},
	}
	transport := c.http.Transport.(*http.Transport)
	transport.DialContext, transport.DisableKeepAlives = dialer.DialContext, true

	if _, body, err := get(t, c, "http://rebind.example.:"+port+"/"); err != nil || body != "hello" {
		t.Fatalf("got %q, %v", body, err)
	}
	for range 2 {
		if _, _, err := get(t, c, "http://rebind.example.:"+port+"/"); !errors.Is(err, ErrForbidden) {
			t.Errorf("got %v, want %v", err, ErrForbidden)
		}
	}
}

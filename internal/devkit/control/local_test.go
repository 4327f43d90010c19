package control

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"homeserver/internal/matrix"
)

func TestOnlyThisMachineReachesTheControlEndpoints(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		own, peer, host, origin string
		allowed                 bool
	}{
		{"127.0.0.1:8008", "127.0.0.1:40000", "127.0.0.1:8008", "", true},
		{"127.0.0.1:8008", "127.0.0.1:40000", "localhost", "", true},
		{"127.0.0.1:8008", "127.0.0.1:40000", "LOCALHOST.:8008", "", true},
		{"127.0.0.1:8008", "127.0.0.1:40000", "test.localhost:8008", "http://localhost:3000", true},
		{"127.0.0.2:8008", "127.0.0.1:40000", "127.0.0.2:8008", "http://127.0.0.1", true},
		{"[::1]:8008", "[::1]:40000", "[::1]:8008", "http://[::1]:3000", true},
		{"[::1]:8008", "[::1]:40000", "[::1]", "", true},
		{"[::ffff:127.0.0.1]:8008", "[::ffff:127.0.0.1]:40000", "localhost:8008", "", true},

		{"192.0.2.1:8008", "192.0.2.1:40000", "localhost:8008", "", false},
		{"192.0.2.1:8008", "192.0.2.7:40000", "192.0.2.1:8008", "", false},
		{"127.0.0.1:8008", "192.0.2.7:40000", "localhost:8008", "", false},
		{"", "127.0.0.1:40000", "localhost:8008", "", false},
		// DNS rebinding: a name of a stranger that leads here.
		{"127.0.0.1:8008", "127.0.0.1:40000", "evil.example:8008", "", false},
		{"127.0.0.1:8008", "127.0.0.1:40000", "localhost.evil.example", "", false},
		{"127.0.0.1:8008", "127.0.0.1:40000", "evil.example", "http://evil.example", false},
		{"127.0.0.1:8008", "127.0.0.1:40000", "", "", false},
		// A page of a stranger in a browser here.
		{"127.0.0.1:8008", "127.0.0.1:40000", "localhost:8008", "http://evil.example", false},
		{"127.0.0.1:8008", "127.0.0.1:40000", "localhost:8008", "null", false},
		{"127.0.0.1:8008", "127.0.0.1:40000", "localhost:8008", "http://127.0.0.1.evil.example", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if test.own != "" {
			own := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.own))
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(own)))
		}
		r.RemoteAddr, r.Host = test.peer, test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		err := checkLocal(r)
		if allowed := err == nil; allowed != test.allowed || !allowed && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestOnlyTheNetworkReachesTheControlEndpointsOfAContainer(t *testing.T) {
	t.Parallel()
	o := &Options{FromNetwork: true}
	for _, test := range []struct {
		host, origin string
		allowed      bool
	}{
		{"localhost:8008", "", true},
		{"127.0.0.1:8008", "http://localhost:3000", true},
		{"192.0.2.1:8008", "http://192.0.2.1:3000", true},
		{"[2001:db8::1]:8008", "", true},
		{"homeserver:8008", "http://tests", true},
		{"Homeserver.", "", true},
		{"host.docker.internal:8008", "", true},

		{"evil.example:8008", "", false},
		{"internal.evil.example", "", false},
		{"", "", false},
		{"homeserver:8008", "http://evil.example", false},
		{"192.0.2.1:8008", "null", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.RemoteAddr, r.Host = "192.0.2.7:40000", test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		err := o.checkCaller(r)
		if allowed := err == nil; allowed != test.allowed || !allowed && !matrix.IsCode(err, matrix.Forbidden) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

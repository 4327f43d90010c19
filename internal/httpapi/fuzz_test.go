package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzQuery makes sure that a handler never gets text from a query that PostgreSQL would not
// take, and that errors can be shown.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "a=b&c", "filter={\"a\":1}", "a=%00", "a=%ff", "a=%zz", ";;&&==", "timeout=99999999999999999999", "full_state=TRUE&limit=-1", "a=1;b=2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{}}
		x := &exchange{request: r, route: &Route{Path: "/sync"}}
		request := &Request{Request: r, x: x}
		if err := x.readQuery(); err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %q", query, err)
			}
			return
		}
		for name, values := range x.query {
			for _, value := range values {
				if !isText(value) {
					t.Errorf("%q has %q", query, value)
				}
			}
			if n, err := request.QueryInt(name, 1); err == nil && n < 0 {
				t.Errorf("%q has the number %d", query, n)
			}
			_, _ = request.QueryBool(name)
		}
		_ = x.waits()
		_ = x.accessToken()
	})
}

// FuzzForm does the same for the forms of pages.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "user=a&password=b", "a=%00", "a=%ff", "%zz", "a;b", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := (&Request{x: &exchange{body: []byte(body)}}).DecodeForm()
		if err != nil {
			return
		}
		for _, values := range form {
			for _, value := range values {
				if !isText(value) {
					t.Errorf("%q has %q", body, value)
				}
			}
		}
	})
}

// FuzzForwardedFor makes sure that a client's address is valid, and never that of one of our
// own proxies where the header names another.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.1", "10.0.0.1, 192.0.2.1", "[2001:db8::1]:80, 10.0.0.2", "unknown", "1.2.3.4:x", ",,,", "::ffff:10.0.0.1", "fe80::1%eth0"} {
		f.Add(seed)
	}
	a := &Engine{trustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	peer := netip.MustParseAddr("10.9.9.9")
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Header: http.Header{"X-Forwarded-For": {header}}}
		client := a.forwardedFor(r, peer)
		if !client.IsValid() {
			t.Errorf("for %q there is no address", header)
		}
		hops := strings.Split(header, ",")
		if last, ok := parseHop(strings.TrimSpace(hops[len(hops)-1])); ok && !a.trusted(last) && client != last {
			t.Errorf("%q is %s, want what our proxy saw, %s", header, client, last)
		}
	})
}

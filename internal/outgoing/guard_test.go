package outgoing

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuardKnowsThePublicInternet(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"1.1.1.1":                    true,
		"8.8.8.8":                    true,
		"100.63.255.255":             true,
		"100.128.0.0":                true,
		"172.15.255.255":             true,
		"172.32.0.0":                 true,
		"223.255.255.255":            true,
		"2606:4700::1111":            true,
		"2001:200::1":                true,
		"2a00:1450:4001::1":          true,
		"::ffff:1.1.1.1":             true,
		"64:ff9b::1.1.1.1":           true,
		"0.0.0.0":                    false,
		"0.1.2.3":                    false,
		"10.0.0.1":                   false,
		"100.64.0.1":                 false,
		"100.127.255.255":            false,
		"127.0.0.1":                  false,
		"127.255.255.254":            false,
		"169.254.169.254":            false,
		"172.16.0.1":                 false,
		"172.31.255.255":             false,
		"192.0.0.8":                  false,
		"192.168.1.1":                false,
		"198.19.255.255":             false,
		"203.0.113.7":                false,
		"224.0.0.1":                  false,
		"239.255.255.250":            false,
		"240.0.0.1":                  false,
		"255.255.255.255":            false,
		"::":                         false,
		"::1":                        false,
		"::ffff:127.0.0.1":           false,
		"::ffff:10.1.2.3":            false,
		"::127.0.0.1":                false,
		"64:ff9b::10.0.0.1":          false,
		"64:ff9b::127.0.0.1":         false,
		"64:ff9b:1::1":               false,
		"100::1":                     false,
		"2001::1":                    false,
		"2001:db8::1":                false,
		"2002:7f00:1::1":             false,
		"3fff::1":                    false,
		"fc00::1":                    false,
		"fd12:3456::1":               false,
		"fe80::1":                    false,
		"fe80::1%eth0":               false,
		"fec0::1":                    false,
		"ff02::1":                    false,
		"4000::1":                    false,
		"ffff:ffff:ffff:ffff::ffff":  false,
		"2001:0:4136:e378:8000::f00": false,
	} {
		if got := (guard{}).allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: allowed is %v, want %v", address, got, want)
		}
	}
	if (guard{}).allows(netip.Addr{}) {
		t.Error("no address at all is allowed")
	}
}

func TestGuardAllowsWhatIsConfigured(t *testing.T) {
	t.Parallel()
	g := guard{prefixes("10.1.0.0/16", "fd00:1::/32", "fe80::/64")}
	for address, want := range map[string]bool{
		"10.1.2.3":        true,
		"::ffff:10.1.2.3": true,
		"10.2.0.1":        false,
		"fd00:1::5":       true,
		"fd00:2::5":       false,
		"fe80::1%eth0":    true,
		"127.0.0.1":       false,
		"1.1.1.1":         true,
	} {
		if got := g.allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: allowed is %v, want %v", address, got, want)
		}
	}
}

func TestGuardControlsTCPOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		network, address string
		refused          bool
	}{
		{"tcp4", "1.1.1.1:80", false},
		{"tcp6", "[2606:4700::1111]:443", false},
		{"tcp4", "10.0.0.1:80", true},
		{"tcp6", "[::1]:80", true},
		{"tcp6", "[fe80::1%eth0]:80", true},
		{"udp4", "1.1.1.1:53", true},
		{"unix", "/run/postgresql/.s.PGSQL.5432", true},
		{"tcp4", "nonsense", true},
	} {
		err := (guard{}).control(test.network, test.address, nil)
		if errors.Is(err, ErrForbidden) != test.refused || err != nil != test.refused {
			t.Errorf("%s %s: got %v, refused should be %v", test.network, test.address, err, test.refused)
		}
	}
}

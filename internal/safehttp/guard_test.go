package safehttp

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// guardOn returns the guard of a machine with those addresses, each with its network.
func guardOn(allowed []netip.Prefix, own ...string) guard {
	return guard{allowed, func() ([]net.Addr, error) {
		var addresses []net.Addr
		for _, text := range own {
			ip, network, err := net.ParseCIDR(text)
			if err != nil {
				return nil, err
			}
			addresses = append(addresses, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return addresses, nil
	}}
}

// allows reports whether an address may be connected to.
func (g guard) allows(address netip.Addr) bool { return g.check(address) == nil }

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
		if got := guardOn(nil).allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: allowed is %v, want %v", address, got, want)
		}
	}
	if guardOn(nil).allows(netip.Addr{}) {
		t.Error("no address at all is allowed")
	}
}

func TestGuardAllowsWhatIsConfigured(t *testing.T) {
	t.Parallel()
	g := guardOn(prefixes("10.1.0.0/16", "fd00:1::/32", "fe80::/64"))
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
		err := guardOn(nil).control(test.network, test.address, nil)
		if errors.Is(err, ErrForbidden) != test.refused || err != nil != test.refused {
			t.Errorf("%s %s: got %v, refused should be %v", test.network, test.address, err, test.refused)
		}
	}
}

// TestPublicAddressesOfThisMachineAreRefused: what listens on a public address of the
// machine, such as its proxy or its metrics, could be reached from inside.
func TestPublicAddressesOfThisMachineAreRefused(t *testing.T) {
	t.Parallel()
	g := guardOn(prefixes("8.8.4.0/24"), "127.0.0.1/8", "8.8.8.8/24", "2a00:1450:4001::5/64", "8.8.4.4/24")
	for address, want := range map[string]bool{
		"8.8.8.8":                     false,
		"::ffff:8.8.8.8":              false,
		"64:ff9b::8.8.8.8":            false,
		"2a00:1450:4001::5":           false,
		"8.8.8.9":                     true, // a neighbour's
		"2a00:1450:4001::6":           true,
		"8.8.4.4":                     true, // configured
		"2a00:1450:4001:0:1::5":       true,
		"2a00:1450:4001:0:0:0:0:0005": false,
	} {
		if got := g.allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: allowed is %v, want %v", address, got, want)
		}
	}
}

func TestGuardOfAMachineThatDoesNotKnowItsAddresses(t *testing.T) {
	t.Parallel()
	broken := errors.New("address family not supported by protocol")
	g := guard{prefixes("10.0.0.0/8"), func() ([]net.Addr, error) { return nil, broken }}
	if err := g.control("tcp4", "1.1.1.1:80", nil); !errors.Is(err, ErrForbidden) || !errors.Is(err, broken) {
		t.Errorf("got %v, want that it is refused, and why", err)
	}
	if err := g.control("tcp4", "10.0.0.1:80", nil); err != nil {
		t.Errorf("allowed by configuration: %v", err)
	}
}

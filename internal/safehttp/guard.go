package safehttp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// ErrForbidden is the error of a connection to an address that is neither somebody
// else's on the public internet nor allowed by configuration.
var ErrForbidden = errors.New("the address is not on the public internet, or is this machine's")

// guard decides where connections may go.
type guard struct {
	allowed []netip.Prefix
	// interfaces lists the addresses of this machine: [net.InterfaceAddrs].
	interfaces func() ([]net.Addr, error)
}

// reserved are the ranges that are not the public internet's, from IANA's
// registries of special-purpose addresses. Of IPv6 only 2000::/3 is given out at
// all, which leaves out loopback, link-local, unique-local and multicast at once.
var (
	reserved = prefixes(
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, the metadata services of clouds among them
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // future use, and broadcast

		"2001::/23",     // protocol assignments, Teredo among them
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4: an IPv4 address in disguise
		"3fff::/20",     // documentation
	)
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	// nat64 is how a network without IPv4 reaches the public IPv4 internet (RFC
	// 6052): the address in the last 32 bits counts.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// check decides about one address. An error wraps ErrForbidden if it may not be
// connected to, also if it can't be found out whether it is this machine's.
func (g guard) check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	if contains(g.allowed, address) {
		return nil
	}
	if nat64.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if !isPublic(address) {
		return ErrForbidden
	}
	own, err := g.isOwn(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	if own {
		return ErrForbidden
	}
	return nil
}

// isPublic reports whether an address is of the public internet.
func isPublic(address netip.Addr) bool {
	if address.Is6() && !globalIPv6.Contains(address) {
		return false
	}
	return address.IsValid() && !contains(reserved, address)
}

// isOwn reports whether an address is this machine's: services that listen there may
// trust connections from this machine. The addresses are looked up for each connection,
// since they change while the server runs.
func (g guard) isOwn(address netip.Addr) (bool, error) {
	own, err := g.interfaces()
	if err != nil {
		return false, fmt.Errorf("look up the addresses of this machine, for which the process needs AF_NETLINK: %w", err)
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		ip, ok := netip.AddrFromSlice(network.IP)
		return ok && ip.Unmap() == address
	}), nil
}

func contains(ranges []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(address) })
}

// control is called by the dialer for each address, resolved, before it connects.
func (g guard) control(network, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	switch {
	case err != nil || network != "tcp4" && network != "tcp6":
		err = ErrForbidden
	default:
		err = g.check(to.Addr())
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	return nil
}

package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peerAddress returns the address of the other end of the connection, and its text.
func peerAddress(r *http.Request) (netip.Addr, string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, netip.Addr{}.String() // a Unix socket has none
	}
	address := peer.Addr().Unmap()
	if host, _, _ := strings.Cut(r.RemoteAddr, ":"); address == peer.Addr() && address.Is4() {
		return address, host // no text has to be made
	}
	return address, address.String()
}

// trusted reports whether the address is one of our own proxies.
func (e *Engine) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(e.trustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwardedFor returns the client's address by X-Forwarded-For, which each proxy appends to:
// the last one that isn't a proxy of ours. Addresses further left were sent by the
// client and prove nothing.
func (e *Engine) forwardedFor(r *http.Request, peer netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	client := peer
	for _, hop := range slices.Backward(hops) {
		addr, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			return client
		}
		client = addr
		if !e.trusted(addr) {
			return client
		}
	}
	return client
}

func parseHop(hop string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(hop); err == nil {
		return addr.Unmap(), true
	}
	withPort, err := netip.ParseAddrPort(hop)
	return withPort.Addr().Unmap(), err == nil
}

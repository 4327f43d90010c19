package control

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"homeserver/internal/matrix"
)

// checkLocal refuses requests that are not of this machine: M_FORBIDDEN. Both ends of the
// connection must be loopback addresses; and since a web page can make a browser on this machine
// ask, also the name by which it was asked, and the origin of the page.
func checkLocal(r *http.Request) error {
	own, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	switch {
	case own == nil || !isLoopback(own.String()) || !isLoopback(r.RemoteAddr):
		return matrix.Errorf(matrix.Forbidden, "these endpoints are for this machine only: ask at a loopback address, such as 127.0.0.1")
	case !isLocalName(r.Host):
		return matrix.Errorf(matrix.Forbidden, "these endpoints are for this machine only: ask for localhost or a loopback address, not for another name")
	case r.Header.Get("Origin") != "" && !isLocalOrigin(r.Header.Get("Origin")):
		return matrix.Errorf(matrix.Forbidden, "these endpoints are not for web pages of other machines")
	}
	return nil
}

func isLoopback(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// isLocalName reports whether a host, with a port or without, can be only this machine.
func isLocalName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

func isLocalOrigin(origin string) bool {
	at, err := url.Parse(origin)
	return err == nil && isLocalName(at.Host)
}

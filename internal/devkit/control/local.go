package control

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"homeserver/internal/matrix"
)

// checkCaller refuses requests that are not of this machine, or not of its network if that may
// ask: M_FORBIDDEN.
func (o *Options) checkCaller(r *http.Request) error {
	if o.FromNetwork {
		return checkNear(r)
	}
	return checkLocal(r)
}

// checkNear refuses requests that a web page of strangers has made a browser send. An address, and
// a name that the network alone has, lead nowhere else; any other name may be a stranger's, who has
// it lead here.
func checkNear(r *http.Request) error {
	switch {
	case !isNearName(r.Host):
		return matrix.Errorf(matrix.Forbidden, "these endpoints are for this network only: ask for an address, or a name without a dot, and not for another name")
	case r.Header.Get("Origin") != "" && !isNearOrigin(r.Header.Get("Origin")):
		return matrix.Errorf(matrix.Forbidden, "these endpoints are not for web pages of other networks")
	}
	return nil
}

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

// nameOf returns a host without its port and without a dot at the end.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// isNearName reports whether a host, with a port or without, can be only of this network: the name
// of a container, or one below internal, which nobody can register.
func isNearName(host string) bool {
	name := nameOf(host)
	_, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil || isLocalName(host) || name != "" && !strings.Contains(name, ".") || strings.HasSuffix(name, ".internal")
}

func isNearOrigin(origin string) bool {
	at, err := url.Parse(origin)
	return err == nil && at.Host != "" && isNearName(at.Host)
}

// isLocalName reports whether a host, with a port or without, can be only this machine.
func isLocalName(host string) bool {
	name := nameOf(host)
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

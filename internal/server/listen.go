package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"homeserver/internal/server/config"
)

// freePortAttempts is how often a port is sought that is free on every loopback address.
const freePortAttempts = 10

// bound is a configured listener with its sockets: several for localhost.
type bound struct {
	config.Listener
	sockets []net.Listener
}

// listeners is everything that the server listens on.
type listeners struct {
	clients []*bound
	metrics []net.Listener
}

// listen opens all sockets, and counts the connections to those for clients. They are
// closed by Shutdown.
func (s *Server) listen(ctx context.Context) (*listeners, error) {
	var all listeners
	for _, l := range s.cfg.Listen {
		sockets, port, err := s.bind(ctx, l.Address)
		if err != nil {
			return nil, err
		}
		if l.Address, err = withPort(l.Address, port); err != nil {
			return nil, err
		}
		for i := range sockets {
			sockets[i] = &countingListener{Listener: sockets[i], connections: s.connections, plain: !l.TLS}
			if l.TLS {
				sockets[i] = tls.NewListener(sockets[i], s.tlsConfig())
			}
		}
		all.clients = append(all.clients, &bound{Listener: l, sockets: sockets})
		s.addresses = append(s.addresses, l)
	}
	if s.cfg.Metrics.Listen != "" {
		sockets, port, err := s.bind(ctx, s.cfg.Metrics.Listen)
		if err != nil {
			return nil, err
		}
		all.metrics = sockets
		if s.metrics, err = withPort(s.cfg.Metrics.Listen, port); err != nil {
			return nil, err
		}
	}
	return &all, nil
}

// tlsConfig returns that of the certificates, with HTTP/2 where they do not ask for it themselves.
func (s *Server) tlsConfig() *tls.Config {
	c := s.certs.TLSConfig()
	if len(c.NextProtos) == 0 {
		c = c.Clone()
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c
}

// bind listens on an address and returns the port.
func (s *Server) bind(ctx context.Context, address string) ([]net.Listener, int, error) {
	sockets, err := bindAll(ctx, address)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%w; another program, or another homeserver, listens there: "+
				"choose another address with --listen or the key listen", err)
		}
		return nil, 0, err
	}
	for _, socket := range sockets {
		s.onStop(func(context.Context) error {
			// The HTTP server closes it too; here it is for a start that does not come that far.
			if err := socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return sockets, sockets[0].Addr().(*net.TCPAddr).Port, nil
}

// bindAll opens the sockets of an address. For a browser or curl localhost is ::1 or
// 127.0.0.1, whichever it tries first, so that the server is on both.
func bindAll(ctx context.Context, address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if host != "localhost" {
		socket, err := bindOne(ctx, address)
		return []net.Listener{socket}, err
	}
	for range freePortAttempts {
		var sockets []net.Listener
		sockets, err = bindLoopback(ctx, port)
		if err == nil || port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			return sockets, err
		}
	}
	return nil, err
}

func bindOne(ctx context.Context, address string) (net.Listener, error) {
	socket, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return socket, nil
}

// bindLoopback listens on one port of each loopback address that the machine has.
func bindLoopback(ctx context.Context, port string) ([]net.Listener, error) {
	var sockets []net.Listener
	var missing error
	for _, host := range []string{"127.0.0.1", "::1"} {
		socket, err := bindOne(ctx, net.JoinHostPort(host, port))
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			missing = err
			continue
		}
		if err != nil {
			for _, s := range sockets {
				err = errors.Join(err, s.Close())
			}
			return nil, err
		}
		sockets = append(sockets, socket)
		// If any port was asked for, the second address uses the port of the first.
		port = strconv.Itoa(socket.Addr().(*net.TCPAddr).Port)
	}
	if len(sockets) == 0 {
		return nil, missing
	}
	return sockets, nil
}

// withPort returns the address with another port.
func withPort(address string, port int) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w", address, err)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

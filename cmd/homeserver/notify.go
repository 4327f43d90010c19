package main

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
)

// Messages about the server to a service manager.
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notify sends the server's state to the service manager, if there is one that asks for
// it: sd_notify(3) of systemd. If that fails the server runs all the same.
func (a *app) notify(log *slog.Logger, state string) {
	for _, variable := range a.environ {
		if address, found := strings.CutPrefix(variable, "NOTIFY_SOCKET="); found && address != "" {
			if err := sendDatagram(address, state); err != nil {
				log.Warn("tell the service manager", "state", state, "error", err)
			}
		}
	}
}

// sendDatagram sends a text to a Unix socket. One that begins with @ has no file.
func sendDatagram(address, text string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }() // nothing is held back
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

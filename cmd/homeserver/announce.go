package main

import (
	"fmt"
	"strings"

	"homeserver/internal/server"
	"homeserver/internal/server/config"
)

// announcement returns the text for a person: where the server is and what to try
// first.
func announcement(cfg *config.Config, s *server.Server) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\nThe homeserver %s is ready:\n\n", cfg.ServerName)
	for _, l := range s.Addresses() {
		fmt.Fprintf(&text, "  %s\n", l.URL())
	}
	if s.MetricsAddress() != "" {
		fmt.Fprintf(&text, "  %s/metrics for Prometheus\n", config.Listener{Address: s.MetricsAddress()}.URL())
	}
	fmt.Fprintf(&text, "\nIt has %s, and its data in %s.\n", cfg.FileText(), cfg.DataDir)
	if first := firstListener(s.Addresses()); first != nil {
		text.WriteString("\nA first command to try:\n\n")
		fmt.Fprintf(&text, "  curl %s%s\n", trust(*first, s), firstRequest(cfg, *first))
	}
	if !cfg.RegistrationOpen() {
		text.WriteString("\nRegistration is closed. An account is made with:\n\n  homeserver user create NAME\n")
	}
	if s.CAFile() != "" && anyTLS(s.Addresses()) {
		fmt.Fprintf(&text, "\nFor https, let the client trust the certificate authority of this server:\n\n  curl --cacert %s …\n", s.CAFile())
	}
	text.WriteString("\n")
	return text.String()
}

// firstListener returns the plain listener, which asks least of a client, or else the first; nil if
// there is none.
func firstListener(all []config.Listener) *config.Listener {
	for i := range all {
		if !all[i].TLS {
			return &all[i]
		}
	}
	if len(all) > 0 {
		return &all[0]
	}
	return nil
}

func anyTLS(all []config.Listener) bool {
	for _, l := range all {
		if l.TLS {
			return true
		}
	}
	return false
}

// trust returns curl's option for a server whose certificate no client knows.
func trust(l config.Listener, s *server.Server) string {
	if !l.TLS || s.CAFile() == "" {
		return ""
	}
	return "--cacert " + s.CAFile() + " "
}

func firstRequest(cfg *config.Config, l config.Listener) string {
	if !cfg.RegistrationOpen() {
		return l.URL() + "/_matrix/client/versions"
	}
	return `-d '{"username":"example","password":"wordpass","auth":{"type":"m.login.dummy"}}' ` +
		l.URL() + "/_matrix/client/r0/register"
}

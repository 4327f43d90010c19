package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"homeserver/internal/server/config"
)

// Source is where the TLS listeners get their certificate. Its methods may be called concurrently.
type Source struct {
	tls      *tls.Config
	rotation *rotation         // nil with ACME
	acme     *autocert.Manager // nil without ACME
	caFile   string
	from     string // where the certificate comes from, for people
}

// Load opens the source that the configuration names. It makes the local authority if that is the
// source and there is none yet; it does no network access.
func Load(cfg *config.Config, log *slog.Logger) (*Source, error) {
	return load(cfg, log, time.Now)
}

func load(cfg *config.Config, log *slog.Logger, now func() time.Time) (*Source, error) {
	if err := os.MkdirAll(cfg.TLSDir(), 0o755); err != nil { //nolint:gosec // ca.pem is there for everybody; keys have permissions of their own.
		return nil, fmt.Errorf("make the folder for certificates: %w", err)
	}
	switch {
	case cfg.TLS.Certificate != "":
		files := &files{certificate: cfg.TLS.Certificate, key: cfg.TLS.Key}
		return rotating(files.refresh, cfg.TLS.Certificate, "", log, now)
	case cfg.TLS.ACME.Enabled:
		return fromACME(cfg), nil
	default:
		local := &localAuthority{dir: cfg.TLSDir(), names: localNames(cfg), now: now}
		return rotating(local.refresh, "the server's own authority", local.path(caCertificate), log, now)
	}
}

// rotating returns a source whose certificate is looked after by refresh.
func rotating(refresh refreshFunc, from, caFile string, log *slog.Logger, now func() time.Time) (*Source, error) {
	r := &rotation{refresh: refresh, log: log, now: now}
	if err := r.renew(); err != nil {
		return nil, err
	}
	return &Source{
		tls:      &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: r.certificate},
		rotation: r,
		caFile:   caFile,
		from:     from,
	}, nil
}

// fromACME returns a source whose certificates are issued at the first connection to each name.
func fromACME(cfg *config.Config) *Source {
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(cfg.TLSDir() + "/acme"),
		HostPolicy: autocert.HostWhitelist(cfg.ACMEHosts()...),
		Email:      cfg.TLS.ACME.Email,
		Client:     &acme.Client{DirectoryURL: cfg.TLS.ACME.Directory},
	}
	tlsConfig := manager.TLSConfig()
	tlsConfig.MinVersion = tls.VersionTLS12
	return &Source{tls: tlsConfig, acme: manager, from: "ACME"}
}

// TLSConfig returns the configuration of TLS listeners. It must not be changed.
func (s *Source) TLSConfig() *tls.Config { return s.tls }

// HTTPHandler returns the handler of plain HTTP listeners: with ACME it answers the authority's
// questions (HTTP-01, RFC 8555 section 8.3) and leaves everything else to next.
func (s *Source) HTTPHandler(next http.Handler) http.Handler {
	if s.acme == nil {
		return next
	}
	return s.acme.HTTPHandler(next)
}

// CAFile returns the certificate of the local authority, which clients must be
// configured to trust, or "" if the certificate comes from elsewhere.
func (s *Source) CAFile() string { return s.caFile }

// Reloaded is the result of [Source.Reload].
type Reloaded struct {
	// From is where the certificate comes from, for people.
	From string
	// Changed reports that there was another one than before.
	Changed bool
	// Expires is when the one in use does; zero with ACME, which has one for each name.
	Expires time.Time
}

// Reload checks at once whether there is a newer certificate, instead of within a
// second. If it cannot be used, the present one stays. With ACME there is nothing to
// check.
func (s *Source) Reload() (Reloaded, error) {
	if s.rotation == nil {
		return Reloaded{From: s.from}, nil
	}
	before := s.rotation.current.Load()
	err := s.rotation.renew()
	now := s.rotation.current.Load()
	return Reloaded{From: s.from, Changed: now != before, Expires: now.Leaf.NotAfter}, err
}

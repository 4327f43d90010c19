package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/sso"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
	"homeserver/internal/server/config"
)

// newSSO makes the service of single sign-on.
func newSSO(cfg *config.Config, pool *pgxpool.Pool, s *services, signer *event.Signer, now func() time.Time, log *slog.Logger) (*sso.Service, error) {
	o := sso.Options{
		Pool: pool, Accounts: s.auth, Stages: s.stages, BaseURL: cfg.PublicBaseURL, TrustedClients: cfg.SSO.TrustedClients,
		Secret: signer.Key.Seed(), UserAgent: "homeserver " + cfg.ServerName, Log: log, Now: now,
		SetDisplayName: func(ctx context.Context, userID, name string) error {
			value, err := matrix.EncodeJSON(name)
			if err != nil {
				return err
			}
			return s.profiles.Set(ctx, matrix.Session{UserID: userID}, userID, profile.DisplayName, value)
		},
	}
	for _, p := range cfg.SSO.Providers {
		scopes := p.Scopes
		if len(scopes) == 0 {
			scopes = []string{"profile"}
		}
		o.Providers = append(o.Providers, sso.ProviderOptions{
			ID: p.ID, Name: p.Name, Icon: p.Icon, Brand: p.Brand, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: string(p.ClientSecret),
			Scopes: scopes, UserName: cmp.Or(p.UserName, "{preferred_username}"), DisplayName: cmp.Or(p.DisplayName, "{name}"),
			FixedName: p.FixedName, Registration: !p.LinkOnly,
		})
	}
	if cfg.LDAP.URL != "" {
		var err error
		if o.Directory, err = newDirectory(cfg.LDAP); err != nil {
			return nil, err
		}
	}
	return sso.New(o)
}

// newDirectory reads what is said of the LDAP directory.
func newDirectory(l config.LDAP) (*sso.DirectoryOptions, error) {
	o := &sso.DirectoryOptions{
		URL: l.URL, StartTLS: l.StartTLS, BindDN: l.BindDN, BindPassword: string(l.BindPassword), BaseDN: l.BaseDN, Filter: l.Filter,
		ID: l.ID, UserName: l.UserName, DisplayName: l.DisplayName, Registration: !l.LinkOnly,
	}
	address, err := url.Parse(l.URL)
	if err != nil {
		return nil, fmt.Errorf("ldap.url: %w", err)
	}
	o.TLS = &tls.Config{ServerName: address.Hostname(), MinVersion: tls.VersionTLS12}
	if l.CAFile == "" {
		return o, nil
	}
	content, err := os.ReadFile(l.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ldap.ca_file: %w", err)
	}
	o.TLS.RootCAs = x509.NewCertPool()
	if !o.TLS.RootCAs.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("ldap.ca_file: %s has no certificate in PEM form", l.CAFile)
	}
	return o, nil
}

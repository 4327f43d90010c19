package server

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/safehttp"
	"homeserver/internal/server/config"
)

// newThreepids makes the service of e-mail addresses and phone numbers.
func newThreepids(cfg *config.Config, pool *pgxpool.Pool, stages *uia.Service, signer *event.Signer, limits *ratelimit.Limits, now func() time.Time, log *slog.Logger) (*threepid.Service, error) {
	o := threepid.Options{
		Pool: pool, Stages: stages, ServerName: cfg.ServerName, BaseURL: cfg.PublicBaseURL,
		Registration:      cfg.RegistrationOpen(),
		ConcealRegistered: cfg.Threepids.ConcealRegistered,
		EmailDomains:      cfg.Email.AllowedDomains,
		PhoneCountries:    cfg.SMS.AllowedCountries,
		TextCaps:          threepid.Caps{PerHour: cfg.SMS.MaxPerHour, PerDay: cfg.SMS.MaxPerDay},
		NextLinkHosts:     cfg.Threepids.NextLinkHosts,
		IdentityServers:   cfg.Threepids.IdentityServers,
		Outgoing:          safehttp.New(safehttp.Options{AllowedRanges: cfg.Outgoing.AllowedRanges, UserAgent: "homeserver " + cfg.ServerName}),
		Signer:            signer,
		Limits:            limits,
		Now:               now,
		Log:               log,
	}
	var err error
	if cfg.Email.Host != "" {
		o.Mail, err = threepid.NewMailer(threepid.MailOptions{
			Host: cfg.Email.Host, Port: cfg.Email.Port, TLS: cfg.Email.TLS,
			User: cfg.Email.User, Password: string(cfg.Email.Password),
			From: cfg.Email.From, HELO: cfg.ServerHost(),
		})
		if err != nil {
			return nil, err
		}
	}
	if cfg.SMS.URL != "" {
		o.Gateway, err = threepid.NewGateway(threepid.GatewayOptions{
			URL: string(cfg.SMS.URL), Authorization: string(cfg.SMS.Authorization), Body: cfg.SMS.Body,
		})
		if err != nil {
			return nil, err
		}
	}
	return threepid.New(o), nil
}

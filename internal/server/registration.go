package server

import (
	"context"
	"log/slog"
	"net/url"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/auth"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/registrationtoken"
	"homeserver/internal/auth/terms"
	"homeserver/internal/auth/uia"
	"homeserver/internal/server/config"
)

// registrationPolicy returns what the configuration asks of those who register.
func registrationPolicy(cfg *config.Config) auth.RegistrationPolicy {
	p := auth.RegistrationPolicy{NeedEmail: cfg.Registration.RequireEmail, Reserved: cfg.Registration.ReservedNames}
	if cfg.Registration.RequireToken {
		p.Stages = append(p.Stages, uia.StageRegistrationToken)
	}
	if len(cfg.Registration.Terms) > 0 {
		p.Stages = append(p.Stages, uia.StageTerms)
	}
	if cfg.Registration.UsernamePattern != "" {
		p.Names = regexp.MustCompile("^(?:" + cfg.Registration.UsernamePattern + ")$") // which the configuration has checked
	}
	return p
}

// registerTerms adds the stage for the documents that those who register must accept, if there are any.
func registerTerms(cfg *config.Config, stages *uia.Service, now func() time.Time) {
	documents := map[string]terms.Document{}
	for _, t := range cfg.Registration.Terms {
		texts := append(documents[t.Document].Texts, terms.Text{Language: t.Language, Name: t.Name, URL: t.URL})
		documents[t.Document] = terms.Document{Version: t.Version, Texts: texts}
	}
	if len(documents) > 0 {
		terms.Register(stages, documents, now)
	}
}

// WithRegistrationTokens does the same as [WithAccounts] with the tokens for registration.
func WithRegistrationTokens(ctx context.Context, cfg *config.Config, log *slog.Logger, do func(*registrationtoken.Service) error) error {
	return withDatabase(ctx, cfg, log, func(pool *pgxpool.Pool) error { return do(registrationtoken.New(pool, nil, nil)) })
}

// InvitationLink returns the address of a page on which people register with a token; "" where the server has no such
// page, or browsers elsewhere could not find it.
func InvitationLink(cfg *config.Config, token string) string {
	base := cfg.OAuthURL(nil)
	if base == "" || !cfg.RegistrationOpen() {
		return ""
	}
	return base + oauth.Path + "/register?token=" + url.QueryEscape(token)
}

// RegistrationToken is a token by which people may register, for commands.
type RegistrationToken = registrationtoken.Token

// RegistrationTokens makes, lists and deletes them.
type RegistrationTokens = registrationtoken.Service

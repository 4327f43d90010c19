package server

import (
	"testing"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/server/config"
)

func TestThreepidsAreProvedAsConfigured(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	service, err := newThreepids(cfg, nil, uia.New(nil, nil), nil, nil, nil, nil)
	if err != nil || service.Proves(threepid.Email) || service.Proves(threepid.Phone) {
		t.Errorf("by default: %v", err)
	}
	cfg.PublicBaseURL = "https://matrix.example.org"
	cfg.Email.Host, cfg.Email.From = "mail.example.org", "Example <matrix@example.org>"
	cfg.Email.User, cfg.Email.Password = "matrix", "wordpass"
	cfg.SMS.URL = "https://sms.example.org"
	service, err = newThreepids(cfg, nil, uia.New(nil, nil), nil, nil, nil, nil)
	if err != nil || !service.Proves(threepid.Email) || !service.Proves(threepid.Phone) {
		t.Errorf("configured: %v", err)
	}
}

func TestThreepidsOfABadConfiguration(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"sender": func(c *config.Config) { c.Email.Host, c.Email.From = "mail.example.org", "nobody" },
		"body":   func(c *config.Config) { c.SMS.URL, c.SMS.Body = "https://sms.example.org", "to={to}" },
	} {
		cfg := config.Default()
		change(cfg)
		if _, err := newThreepids(cfg, nil, uia.New(nil, nil), nil, nil, nil, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

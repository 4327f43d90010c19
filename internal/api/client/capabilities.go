package client

import (
	"homeserver/internal/auth/threepid"
	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/delayedevents"
)

type capability struct {
	Enabled bool `json:"enabled"`
}

type roomVersionsCapability struct {
	Default   string            `json:"default"`
	Available map[string]string `json:"available"`
}

type delayedEventsCapability struct {
	MaxDelayMS   int64 `json:"max_delay_ms"`
	MaxScheduled int   `json:"max_scheduled"`
}

type accountModerationCapability struct {
	Suspend bool `json:"suspend"`
	Lock    bool `json:"lock"`
}

type capabilitiesAnswer struct {
	Capabilities map[string]any `json:"capabilities"`
}

// capabilities lists what a user can and can't do here. Section "Capabilities
// negotiation", GET /capabilities.
func (a *api) capabilities(_ *httpapi.Request, who matrix.Session) (any, error) {
	// What needs interactive authentication is done on the page of the account by those who have signed in by OAuth.
	legacy := !who.OAuth
	available := map[string]string{}
	for _, version := range event.Versions() {
		available[version] = "stable"
	}
	can := map[string]any{
		"m.change_password": capability{legacy},
		"m.room_versions":   roomVersionsCapability{rooms.DefaultVersion, available},
		"m.profile_fields":  capability{true},
		"m.set_displayname": capability{true},
		"m.set_avatar_url":  capability{true},
		"m.3pid_changes":    capability{legacy && (a.Threepids.Proves(threepid.Email) || a.Threepids.Proves(threepid.Phone))},
		"m.get_login_token": capability{legacy},

		"org.matrix.msc4140.delayed_events": delayedEventsCapability{delayedevents.MaxDelay.Milliseconds(), delayedevents.MaxScheduled},

		"uk.tcpip.msc4133.profile_fields": capability{true}, // m.profile_fields to clients that know the proposal
	}
	if who.Admin {
		can["m.account_moderation"] = accountModerationCapability{true, true}
		can["uk.timedout.msc4323"] = accountModerationCapability{true, true}
	}
	return capabilitiesAnswer{can}, nil
}

package api

import (
	"fmt"
	"net/http"

	"homeserver/internal/postgres"
)

type healthAnswer struct {
	Status string `json:"status"`
}

// health answers 200 while the server can do its work, and 503 while it can't
// reach its database. For load balancers and containers.
func (a *API) health(r *http.Request) (any, error) {
	if a.healthy == nil {
		return healthAnswer{"ok"}, nil
	}
	if err := a.healthy(r.Context()); err != nil {
		if postgres.Unavailable(err) {
			return nil, errUnavailable
		}
		return nil, fmt.Errorf("check health: %w", err)
	}
	return healthAnswer{"ok"}, nil
}

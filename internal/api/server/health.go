package server

import (
	"fmt"
	"net/http"
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type healthAnswer struct {
	Status string `json:"status"`
}

// health answers 200 while the server can do its work, and 503 while it can't reach its
// database. It is for monitoring.
func (a *api) health(r *httpapi.Request) (any, error) {
	if a.Healthy == nil {
		return healthAnswer{"ok"}, nil
	}
	if err := a.Healthy(r.Context()); err != nil {
		return nil, fmt.Errorf("check health: %w", err)
	}
	return healthAnswer{"ok"}, nil
}

// ready answers 200 while the server wants to be sent requests, and 503 from the moment
// at which it begins to stop. It does not ask the database, without which no other
// server could do better. It is for load balancers.
func (a *api) ready(*httpapi.Request) (any, error) {
	if a.Ready != nil && !a.Ready() {
		return nil, &matrix.Error{Code: matrix.Unknown, Message: "the server is stopping", Status: http.StatusServiceUnavailable, RetryAfter: time.Second}
	}
	return healthAnswer{"ready"}, nil
}

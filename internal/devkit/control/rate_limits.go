package control

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

func (e *endpoints) showLimits(*httpapi.Request) (any, error) {
	return map[string]bool{"enabled": e.limits.On()}, nil
}

// switchLimits switches the rate limits on, as they are in production, or off.
func (e *endpoints) switchLimits(r *httpapi.Request) (any, error) {
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if err := r.DecodeStrictly(&body); err != nil {
		return nil, err
	}
	if body.Enabled == nil {
		return nil, matrix.Errorf(matrix.MissingParam, "enabled is missing")
	}
	e.limited.Store(*body.Enabled)
	e.limits.Switch(*body.Enabled)
	return e.showLimits(r)
}

package api

import (
	"net/http"

	"homeserver/internal/auth"
)

// register makes an account. Section "Account registration", POST /register.
func (a *API) register(r *http.Request) (any, error) {
	var body auth.RegisterRequest
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	body.Kind = query(r, "kind")
	return a.auth.Register(r.Context(), body, clientOf(r))
}

type availableAnswer struct {
	Available bool `json:"available"`
}

// registerAvailable tells whether a user name is free; it is an error if not.
// Section "Account registration", GET /register/available.
func (a *API) registerAvailable(r *http.Request) (any, error) {
	return availableAnswer{true}, a.auth.CheckAvailable(r.Context(), query(r, "username"))
}

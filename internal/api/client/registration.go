package client

import (
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// register makes an account, for an application service if it says so. Section "Account
// registration", POST /register.
func (a *api) register(r *httpapi.Request) (any, error) {
	var body auth.RegisterRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	body.Kind = r.Query("kind")
	if body.Type != auth.ByAppService {
		return a.Auth.Register(r.Context(), body, r.Client())
	}
	service, err := r.AppService()
	if err != nil {
		return nil, err
	}
	return a.Auth.RegisterByAppService(r.Context(), service.ID, body, r.Client())
}

type availableAnswer struct {
	Available bool `json:"available"`
}

// registerAvailable reports whether a user name is free; it is an error if not. Section
// "Account registration", GET /register/available.
func (a *api) registerAvailable(r *httpapi.Request) (any, error) {
	return availableAnswer{true}, a.Auth.CheckAvailable(r.Context(), r.Query("username"))
}

type validityAnswer struct {
	Valid bool `json:"valid"`
}

// registrationTokenValidity reports whether one can register with a token, now. Section "Account registration", GET
// /register/m.login.registration_token/validity.
func (a *api) registrationTokenValidity(r *httpapi.Request) (any, error) {
	if !a.Auth.RegistrationOpen() {
		return nil, matrix.Errorf(matrix.Forbidden, "Registration is disabled")
	}
	if r.Query("token") == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "token is missing")
	}
	valid, err := a.RegistrationTokens.Valid(r.Context(), r.Query("token"))
	return validityAnswer{valid}, err
}

package server

import (
	"homeserver/internal/auth"
	"homeserver/internal/httpapi"
)

type nonceAnswer struct {
	Nonce string `json:"nonce"`
}

// registrationNonce begins a registration by shared secret, as tools that deploy
// servers do it. It is not part of the specification.
// GET /_synapse/admin/v1/register.
func (a *api) registrationNonce(*httpapi.Request) (any, error) {
	nonce, err := a.Auth.RegistrationNonce()
	return nonceAnswer{nonce}, err
}

// registerWithSharedSecret makes an account, maybe an administrator's, for a caller who
// knows the shared secret. POST /_synapse/admin/v1/register.
func (a *api) registerWithSharedSecret(r *httpapi.Request) (any, error) {
	var body auth.SharedSecretRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Auth.RegisterWithSharedSecret(r.Context(), body, r.Client())
}

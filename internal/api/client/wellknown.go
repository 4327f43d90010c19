package client

import (
	"strings"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type discovery struct {
	Homeserver struct {
		BaseURL string `json:"base_url"`
	} `json:"m.homeserver"`
	// Foci is for clients that do not ask for the transports of calls: MSC4143 as it was before.
	Foci []rtcTransport `json:"org.matrix.msc4143.rtc_foci,omitempty"`
	// Authentication is for clients that look here for the pages of the account: MSC2965 as it
	// was before.
	Authentication *authenticationLinks `json:"org.matrix.msc2965.authentication,omitempty"`
}

type authenticationLinks struct {
	Issuer  string `json:"issuer"`
	Account string `json:"account,omitempty"`
}

// wellKnown returns the address of the server, for clients that only know its name, and
// through which servers calls go. 404 M_NOT_FOUND if no public address is configured.
// Section "Well-known URIs", GET /.well-known/matrix/client.
func (a *api) wellKnown(*httpapi.Request) (any, error) {
	if a.PublicBaseURL == "" {
		return nil, matrix.Errorf(matrix.NotFound, "this server has no public address configured")
	}
	var answer discovery
	answer.Homeserver.BaseURL = strings.TrimSuffix(a.PublicBaseURL, "/")
	answer.Foci = a.transports()
	if a.OAuth.Enabled() {
		answer.Authentication = &authenticationLinks{Issuer: a.OAuth.Issuer(), Account: a.OAuth.AccountURL()}
	}
	return answer, nil
}

// Support says whom people turn to about the server.
type Support struct {
	Contacts []Contact `json:"contacts,omitempty"`
	Page     string    `json:"support_page,omitempty"`
}

// Contact is a way to reach an operator.
type Contact struct {
	UserID string `json:"matrix_id,omitempty"`
	Email  string `json:"email_address,omitempty"`
	Role   string `json:"role"`
}

// support returns whom people turn to. 404 M_NOT_FOUND if nobody is configured. Section
// "Well-known URIs", GET /.well-known/matrix/support.
func (a *api) support(*httpapi.Request) (any, error) {
	if a.Support.Page == "" && len(a.Support.Contacts) == 0 {
		return nil, matrix.Errorf(matrix.NotFound, "this server names nobody to turn to")
	}
	return a.Support, nil
}

type policyServer struct {
	PublicKeys map[string]string `json:"public_keys"`
}

// policyServer returns the key of the policy server with the name of this server. 404 M_NOT_FOUND if there is none. Section
// "Policy servers", GET /.well-known/matrix/policy_server.
func (a *api) policyServer(*httpapi.Request) (any, error) {
	if a.PolicyServerKey == "" {
		return nil, matrix.Errorf(matrix.NotFound, "there is no policy server of this name")
	}
	return policyServer{map[string]string{"ed25519": a.PolicyServerKey}}, nil
}

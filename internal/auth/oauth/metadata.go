package oauth

// Metadata is what clients learn of the API. Client-server API, "Server metadata discovery";
// RFC 8414.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	Scopes                []string `json:"scopes_supported"`
}

// The grant types. Client-server API, "Grant types".
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)

// grantTypes are all of them.
var grantTypes = []string{GrantAuthorizationCode, GrantRefreshToken}

// Issuer returns the issuer identifier.
func (s *Service) Issuer() string { return s.o.BaseURL + "/" }

// Metadata returns the metadata.
func (s *Service) Metadata() Metadata {
	at := s.o.BaseURL + Path
	return Metadata{
		Issuer:                s.Issuer(),
		AuthorizationEndpoint: at + "/authorize",
		TokenEndpoint:         at + "/token",
		RevocationEndpoint:    at + "/revoke",
		RegistrationEndpoint:  at + "/clients",
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{modeQuery, modeFragment},
		GrantTypes:            grantTypes,
		CodeChallengeMethods:  []string{"S256"},
		TokenAuthMethods:      []string{"none"},
		RevocationAuthMethods: []string{"none"},
		Prompts:               []string{PromptNone, PromptLogin, PromptConsent, PromptCreate},
		Scopes:                []string{scopeAPI, unstableAPI},
	}
}

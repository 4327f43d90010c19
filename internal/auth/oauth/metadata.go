package oauth

// Metadata is what clients learn of the API. Client-server API, "Server metadata discovery";
// RFC 8414.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	Scopes                []string `json:"scopes_supported"`
	AccountURI            string   `json:"account_management_uri"`
	AccountActions        []string `json:"account_management_actions_supported"`
}

// The grant types. Client-server API, "Grant types".
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)

// grantTypes are all of them.
var grantTypes = []string{GrantAuthorizationCode, GrantRefreshToken, GrantDeviceCode}

// The actions of the page of an account. Client-server API, "Account management URL actions".
const (
	ActionProfile    = "org.matrix.profile"
	ActionDevices    = "org.matrix.devices_list"
	ActionDevice     = "org.matrix.device_view"
	ActionEndDevice  = "org.matrix.device_delete"
	ActionDeactivate = "org.matrix.account_deactivate"
	ActionResetKeys  = "org.matrix.cross_signing_reset"

	// As they were called as a proposal: MSC4191.
	actionSessions   = "org.matrix.sessions_list"
	actionSession    = "org.matrix.session_view"
	actionEndSession = "org.matrix.session_end"
)

// Action returns the name of an action by any of its names.
func Action(name string) string {
	switch name {
	case actionSessions:
		return ActionDevices
	case actionSession:
		return ActionDevice
	case actionEndSession:
		return ActionEndDevice
	default:
		return name
	}
}

// AccountURL returns where people manage their accounts.
func (s *Service) AccountURL() string { return s.o.BaseURL + Path + "/account" }

// BaseURL returns where clients and browsers reach the server.
func (s *Service) BaseURL() string { return s.o.BaseURL }

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
		DeviceEndpoint:        at + "/device_authorization",
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{modeQuery, modeFragment},
		GrantTypes:            grantTypes,
		CodeChallengeMethods:  []string{"S256"},
		TokenAuthMethods:      []string{"none"},
		RevocationAuthMethods: []string{"none"},
		Prompts:               []string{PromptNone, PromptLogin, PromptConsent, PromptCreate},
		Scopes:                []string{scopeAPI, unstableAPI},
		AccountURI:            s.AccountURL(),
		AccountActions: []string{
			ActionProfile, ActionDevices, ActionDevice, ActionEndDevice, ActionDeactivate, ActionResetKeys, actionSessions, actionSession, actionEndSession,
		},
	}
}

package client

import (
	"homeserver/internal/auth"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

type loginFlow struct {
	Type              string         `json:"type"`
	GetLoginToken     bool           `json:"get_login_token,omitzero"`
	IdentityProviders []sso.Provider `json:"identity_providers,omitzero"`
}

type loginFlowsAnswer struct {
	Flows []loginFlow `json:"flows"`
}

// loginFlows lists the ways to log in. Anybody may ask. Section "Login",
// GET /login.
func (a *api) loginFlows(*httpapi.Request) (any, error) {
	answer := loginFlowsAnswer{Flows: []loginFlow{}}
	for _, name := range a.Auth.LoginTypes() {
		answer.Flows = append(answer.Flows, loginFlow{Type: name, GetLoginToken: name == auth.LoginByToken})
	}
	if providers := a.SSO.Providers(); len(providers) > 0 {
		answer.Flows = append(answer.Flows, loginFlow{Type: uia.StageSSO, IdentityProviders: providers})
	}
	if len(a.AppServices.Registrations()) > 0 {
		answer.Flows = append(answer.Flows, loginFlow{Type: auth.ByAppService})
	}
	return answer, nil
}

// login logs a device in, for an application service if it says so. Section "Login", POST
// /login.
func (a *api) login(r *httpapi.Request) (any, error) {
	var body auth.LoginRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	if body.Type != auth.ByAppService {
		return a.Auth.Login(r.Context(), body, r.Client())
	}
	service, err := r.AppService()
	if err != nil {
		return nil, err
	}
	return a.Auth.LoginByAppService(r.Context(), service.ID, body, r.Client())
}

// logout ends the session of the access token, and its device. Its body, which
// should be empty, is not looked at. Section "Login", POST /logout.
func (a *api) logout(r *httpapi.Request, who matrix.Session) (any, error) {
	return httpapi.Empty{}, a.Auth.Sessions.Logout(r.Context(), who)
}

// logoutAll ends all sessions of a user. Its body, which should be empty, is not
// looked at. Section "Login", POST /logout/all.
func (a *api) logoutAll(r *httpapi.Request, who matrix.Session) (any, error) {
	return httpapi.Empty{}, a.Auth.Sessions.LogoutAll(r.Context(), who.UserID)
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

// refresh exchanges a refresh token for new tokens. It needs no access token,
// since the old one may have expired. Section "Refreshing access tokens",
// POST /refresh.
func (a *api) refresh(r *httpapi.Request) (any, error) {
	var body refreshRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.Auth.Sessions.Refresh(r.Context(), body.RefreshToken)
}

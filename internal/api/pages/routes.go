package pages

import (
	"slices"

	"homeserver/internal/auth"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/emailpusher"
	"homeserver/internal/profile"
)

// Services are the services that the endpoints call.
type Services struct {
	Auth       *auth.Service
	OAuth      *oauth.Service
	Profile    *profile.Service
	Stages     *uia.Service
	Threepids  *threepid.Service
	SSO        *sso.Service
	Mails      *emailpusher.Service
	ServerName string
	Front      Front
}

// api has the endpoints as its methods.
type api struct{ Services }

// Routes returns the table of the endpoints of this package.
func Routes(services Services) []httpapi.Route {
	const stage = "/auth/{authType}/fallback/web"
	a := &api{services}
	return slices.Concat(a.oauthRoutes(), []httpapi.Route{
		httpapi.Root.Get("/", httpapi.Reading, httpapi.Public(a.frontPage)),
		httpapi.Root.Get(FilesPath+"{fileName}", httpapi.Reading, httpapi.Public(a.webFile)),
		httpapi.Root.Get("/_matrix/static/client/login", httpapi.Reading, httpapi.Public(a.loginFallback)),
		httpapi.Root.Post("/_matrix/static/client/login", httpapi.LoggingIn, httpapi.Public(a.submitLogin)),
		httpapi.SinceV1.Get("/login/fallback", httpapi.Reading, httpapi.Public(a.loginFallback)),
		httpapi.SinceV2Alpha.Get(stage, httpapi.Reading, httpapi.Public(a.authFallback)),
		httpapi.SinceV2Alpha.Post(stage, httpapi.LoggingIn, httpapi.Public(a.submitAuthFallback)),
		httpapi.Client.Get("/login/sso/redirect", httpapi.AskingProviders, httpapi.Public(a.redirectToSSO)),
		httpapi.SinceV3.Get("/login/sso/redirect/{idpId}", httpapi.AskingProviders, httpapi.Public(a.redirectToIdP)),
		httpapi.Root.Get(sso.CallbackPath, httpapi.AskingProviders, httpapi.Public(a.ssoArrived)),
		httpapi.Root.Post(sso.AccountPath, httpapi.LoggingIn, httpapi.Public(a.chooseAccount)),
		httpapi.Root.Get(sso.FinishPath, httpapi.LoggingIn, httpapi.Public(a.finishSSO)),
		httpapi.Root.Post(sso.LogoutPath, httpapi.AskingProviders, httpapi.Public(a.endSSO)),
		httpapi.Root.Get(threepid.ConfirmPath, httpapi.Reading, httpapi.Public(a.threepidPage)),
		httpapi.Root.Post(threepid.ConfirmPath, httpapi.EnteringCodes, httpapi.Public(a.confirmThreepid)),
		httpapi.Root.Get(emailpusher.UnsubscribePath, httpapi.Reading, httpapi.Public(a.unsubscribePage)),
		httpapi.Root.Post(emailpusher.UnsubscribePath, httpapi.EnteringCodes, httpapi.Public(a.unsubscribe)),
	})
}

// The pages of the OAuth 2.0 API.
const (
	signInPath   = oauth.Path + "/login"
	signOutPath  = oauth.Path + "/logout"
	registerPath = oauth.Path + "/register"
	accountPath  = oauth.Path + "/account"
	linkPath     = oauth.Path + "/link"
)

// oauthRoutes: "OAuth 2.0 API".
func (a *api) oauthRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.Root.Get(oauth.Path+"/authorize", httpapi.Reading, a.oauth(a.authorize)),
		httpapi.Root.Post(oauth.Path+"/authorize", httpapi.Telling, a.oauth(a.decide)),
		httpapi.Root.Get(signInPath, httpapi.Reading, a.oauth(a.signInForm)),
		httpapi.Root.Post(signInPath, httpapi.LoggingIn, a.oauth(a.signIn)),
		httpapi.Root.Get(sso.StartPath, httpapi.AskingProviders, a.oauth(a.startSSO)),
		httpapi.Root.Post(signOutPath, httpapi.Removing, a.oauth(a.signOut)),
		httpapi.Root.Get(registerPath, httpapi.Reading, a.oauth(a.registerForm)),
		httpapi.Root.Post(registerPath, httpapi.Registering, a.oauth(a.registerOnPage)),
		httpapi.Root.Get(linkPath, httpapi.EnteringCodes, a.oauth(a.link)),
		httpapi.Root.Post(linkPath, httpapi.EnteringCodes, a.oauth(a.inAccount(a.decideLink))),
		httpapi.Root.Get(accountPath, httpapi.Reading, a.oauth(a.account)),
		httpapi.Root.Post(accountPath+"/profile", httpapi.ChangingProfile, a.oauth(a.inAccount(a.setName))),
		httpapi.Root.Post(accountPath+"/device", httpapi.Removing, a.oauth(a.inAccount(a.endDevice))),
		httpapi.Root.Post(accountPath+"/password", httpapi.LoggingIn, a.oauth(a.inAccount(a.setPassword))),
		httpapi.Root.Post(accountPath+"/deactivate", httpapi.LoggingIn, a.oauth(a.inAccount(a.closeAccount))),
		httpapi.Root.Post(accountPath+"/reset", httpapi.LoggingIn, a.oauth(a.inAccount(a.approveReset))),
	}
}

// oauth returns the handler of a page that is there while the OAuth 2.0 API is on.
func (a *api) oauth(h func(*httpapi.Request) (any, error)) httpapi.Handler {
	return httpapi.Public(func(r *httpapi.Request) (any, error) {
		if !a.OAuth.Enabled() {
			return nil, httpapi.ErrUnknownPath
		}
		return h(r)
	})
}

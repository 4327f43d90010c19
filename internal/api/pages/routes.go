package pages

import (
	"homeserver/internal/auth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/personal/emailpusher"
)

// Services are the services that the endpoints call.
type Services struct {
	Auth       *auth.Service
	Stages     *uia.Service
	Threepids  *threepid.Service
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
	return []httpapi.Route{
		httpapi.Root.Get("/", httpapi.Reading, httpapi.Public(a.frontPage)),
		httpapi.Root.Get(FilesPath+"{fileName}", httpapi.Reading, httpapi.Public(a.webFile)),
		httpapi.Root.Get("/_matrix/static/client/login", httpapi.Reading, httpapi.Public(a.loginFallback)),
		httpapi.Root.Post("/_matrix/static/client/login", httpapi.LoggingIn, httpapi.Public(a.submitLogin)),
		httpapi.SinceV1.Get("/login/fallback", httpapi.Reading, httpapi.Public(a.loginFallback)),
		httpapi.SinceV2Alpha.Get(stage, httpapi.Reading, httpapi.Public(a.authFallback)),
		httpapi.SinceV2Alpha.Post(stage, httpapi.LoggingIn, httpapi.Public(a.submitAuthFallback)),
		httpapi.Root.Get(threepid.ConfirmPath, httpapi.Reading, httpapi.Public(a.threepidPage)),
		httpapi.Root.Post(threepid.ConfirmPath, httpapi.EnteringCodes, httpapi.Public(a.confirmThreepid)),
		httpapi.Root.Get(emailpusher.UnsubscribePath, httpapi.Reading, httpapi.Public(a.unsubscribePage)),
		httpapi.Root.Post(emailpusher.UnsubscribePath, httpapi.EnteringCodes, httpapi.Public(a.unsubscribe)),
	}
}

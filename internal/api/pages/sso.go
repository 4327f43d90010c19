package pages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"homeserver/internal/auth/sso"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// ssoChoicePage lists the identity providers of which a person chooses one.
type ssoChoicePage struct {
	ServerName string
	Providers  []ssoChoice
}

type ssoChoice struct{ Name, Address string }

// ssoAccountPage asks a person who has signed in at a provider for an account.
type ssoAccountPage struct {
	ServerName, Provider, Key string
	MayRegister               bool
	UserName, User            string
	// Error is why a new account could not be made, and LinkError why an account could not be linked.
	Error, LinkError string
}

// ssoContinuePage asks a person whether an app may use the account.
type ssoContinuePage struct {
	ServerName, UserID, App, Address string
}

// redirectToSSO sends the browser of an app to the identity provider, or has the person choose one of several.
// Section "SSO client login/authentication", GET /login/sso/redirect.
func (a *api) redirectToSSO(r *httpapi.Request) (any, error) {
	providers := a.SSO.Providers()
	switch len(providers) {
	case 0:
		return ErrorPage(matrix.Errorf(matrix.NotFound, "This server has no single sign-on"))
	case 1:
		return a.goToProvider(r, providers[0].ID, sso.Purpose{RedirectURL: r.Query("redirectUrl")})
	}
	if err := sso.CheckRedirect(r.Query("redirectUrl")); err != nil {
		return ErrorPage(err)
	}
	page := ssoChoicePage{ServerName: a.ServerName}
	for _, p := range providers {
		page.Providers = append(page.Providers, ssoChoice{p.Name, "/_matrix/client/v3/login/sso/redirect/" + url.PathEscape(p.ID) + "?" + r.QueryValues().Encode()})
	}
	return Render("sso_choose.html", http.StatusOK, page)
}

// redirectToIdP sends the browser of an app to an identity provider. Section "SSO client login/authentication",
// GET /login/sso/redirect/{idpId}.
func (a *api) redirectToIdP(r *httpapi.Request) (any, error) {
	return a.goToProvider(r, r.Param("idpId"), sso.Purpose{RedirectURL: r.Query("redirectUrl")})
}

// goToProvider begins a sign-in at a provider.
func (a *api) goToProvider(r *httpapi.Request, idpID string, purpose sso.Purpose) (any, error) {
	begun, err := a.SSO.Begin(r.Context(), idpID, purpose)
	if err != nil {
		return ErrorPage(err)
	}
	return withCookies(redirect(begun.URL), nil, a.ssoCookie(begunCookie(begun.State), begun.Kept))
}

// ssoArrived is where a provider sends a browser back to.
func (a *api) ssoArrived(r *httpapi.Request) (any, error) {
	answer := sso.Answer{State: r.Query("state"), Code: r.Query("code")}
	name := begunCookie(answer.State)
	if cookie, err := r.Cookie(name); err == nil {
		answer.Kept = cookie.Value
	}
	arrival, err := a.SSO.Return(r.Context(), answer)
	if err != nil {
		return ErrorPage(err)
	}
	return a.nextOfSSO(r, arrival, name)
}

// nextOfSSO goes on with a person who has signed in. The cookies of earlier steps end.
func (a *api) nextOfSSO(r *httpapi.Request, arrival *sso.Arrival, ended ...string) (any, error) {
	var cookies []*http.Cookie
	for _, name := range ended {
		cookies = append(cookies, a.ssoCookie(name, ""))
	}
	if arrival.Purpose.Session != "" {
		page, err := a.confirmedBySSO(r, arrival)
		return withCookies(page, err, cookies...)
	}
	if arrival.Purpose.Page != "" && arrival.UserID != "" {
		page, err := a.pageAfterSSO(r, arrival)
		return withCookies(page, err, cookies...)
	}
	kept, err := a.SSO.Keep(arrival)
	if err != nil {
		return nil, err
	}
	cookies = append(cookies, a.ssoCookie(arrivalCookie, kept))
	if arrival.UserID == "" {
		page, err := a.accountPage(arrival, http.StatusOK, ssoAccountPage{UserName: arrival.Proposed})
		return withCookies(page, err, cookies...)
	}
	to, err := a.SSO.Destination(arrival)
	if err != nil {
		return ErrorPage(err)
	}
	address := sso.FinishPath + "?key=" + url.QueryEscape(arrival.Key)
	if to.Trusted {
		return withCookies(redirect(address), nil, cookies...)
	}
	page, err := Render("sso_continue.html", http.StatusOK, ssoContinuePage{a.ServerName, arrival.UserID, to.Name, address})
	return withCookies(page, err, cookies...)
}

// startSSO begins a sign-in for a page of this server.
func (a *api) startSSO(r *httpapi.Request) (any, error) {
	return a.goToProvider(r, r.Query("provider"), sso.Purpose{Page: back(r.Query("then"))})
}

// pageAfterSSO signs the browser in to the pages of this server.
func (a *api) pageAfterSSO(r *httpapi.Request, arrival *sso.Arrival) (any, error) {
	v := visitor{secure: a.OAuth.Secure()}
	var err error
	if v.cookie, err = a.OAuth.SignInAs(r.Context(), arrival.UserID); err != nil {
		return ErrorPage(err)
	}
	return v.with(seeOther(back(arrival.Purpose.Page))), nil
}

// ssoChoices lists the providers at which a person may sign in for a page of this server.
func (a *api) ssoChoices(then string) []ssoChoice {
	var choices []ssoChoice
	for _, p := range a.SSO.Providers() {
		choices = append(choices, ssoChoice{p.Name, address(sso.StartPath, then, "provider", p.ID)})
	}
	return choices
}

// confirmedBySSO completes the stage of interactive authentication.
func (a *api) confirmedBySSO(r *httpapi.Request, arrival *sso.Arrival) (any, error) {
	if err := a.SSO.Confirm(r.Context(), arrival); err != nil {
		return ErrorPage(err)
	}
	return Render("auth_done.html", http.StatusOK, nil)
}

// accountPage asks for an account.
func (a *api) accountPage(arrival *sso.Arrival, status int, page ssoAccountPage) (any, error) {
	page.ServerName, page.Key, page.MayRegister = a.ServerName, arrival.Key, a.SSO.MayRegister(arrival)
	page.Provider = a.SSO.ProviderOf(arrival)
	return Render("sso_account.html", status, page)
}

// keptArrival returns the arrival that the browser has kept, for a form or link with the key.
func (a *api) keptArrival(r *httpapi.Request, key string) (*sso.Arrival, error) {
	kept := ""
	if cookie, err := r.Cookie(arrivalCookie); err == nil {
		kept = cookie.Value
	}
	return a.SSO.Kept(kept, key)
}

// chooseAccount makes an account for a person who has signed in, or links one.
func (a *api) chooseAccount(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return ErrorPage(err)
	}
	arrival, err := a.keptArrival(r, form.Get("key"))
	if err != nil {
		return ErrorPage(err)
	}
	page := ssoAccountPage{UserName: form.Get("user_name"), User: form.Get("user")}
	shown := &page.Error
	if form.Get("password") != "" || form.Get("user") != "" {
		shown = &page.LinkError
		err = a.SSO.Link(r.Context(), arrival, form.Get("user"), form.Get("password"))
	} else {
		err = a.SSO.Register(r.Context(), arrival, form.Get("user_name"))
	}
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		*shown = refusal.Message
		return a.accountPage(arrival, refusal.HTTPStatus(), page)
	}
	if err != nil {
		return nil, err
	}
	return a.nextOfSSO(r, arrival)
}

// finishSSO sends the browser to the app with a login token.
func (a *api) finishSSO(r *httpapi.Request) (any, error) {
	arrival, err := a.keptArrival(r, r.Query("key"))
	if err != nil {
		return ErrorPage(err)
	}
	address, err := a.SSO.Finish(r.Context(), arrival)
	if err != nil {
		return ErrorPage(err)
	}
	return withCookies(redirect(address), nil, a.ssoCookie(arrivalCookie, ""))
}

// endSSO is called by a provider when a session there has ended. OpenID Connect Back-Channel Logout 1.0, section 2.5.
func (a *api) endSSO(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.SSO.LogOut(r.Context(), r.Param("idpId"), form.Get("logout_token"))
}

// confirmBySSO sends a browser to a provider to confirm a request. Of several providers the person chooses one: this
// server does not show strangers which one a user has.
func (a *api) confirmBySSO(r *httpapi.Request, idpID string) (any, error) {
	begun, err := a.SSO.Begin(r.Context(), idpID, sso.Purpose{Session: r.Query("session")})
	if err != nil {
		return ErrorPage(err)
	}
	// A page rather than a redirect, which browsers refuse as the answer to a form.
	page, err := Render("sso_go.html", http.StatusOK, begun.URL)
	return withCookies(page, err, a.ssoCookie(begunCookie(begun.State), begun.Kept))
}

// arrivalCookie has the person who has signed in.
const arrivalCookie = "hs_sso"

// begunCookie is the name of the cookie of a sign-in on its way, of which a browser may have several.
func begunCookie(state string) string {
	const shown = 12
	name := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' {
			return c
		}
		return -1
	}, state)
	return "hs_sso_" + name[:min(shown, len(name))]
}

// ssoCookie keeps a value in the browser for the pages of single sign-on; "" removes it.
func (a *api) ssoCookie(name, value string) *http.Cookie {
	cookie := &http.Cookie{ //nolint:gosec // G124: without https a secure cookie would not come back
		Name: name, Value: value, Path: sso.Path, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: a.SSO.Secure(), MaxAge: int(sso.FlowLifetime.Seconds()),
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

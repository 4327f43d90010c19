package pages

import (
	"errors"
	"net/http"
	"net/url"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// signInPage has the content of the page to sign in with.
type signInPage struct {
	ServerName, ClientName, User, Error, FormToken string
	Providers                                      []ssoChoice
	Register                                       string // the page to make an account; empty: that is not possible
}

// signInForm shows the page to sign in with.
func (a *api) signInForm(r *httpapi.Request) (any, error) {
	v, err := a.visitor(r)
	if err != nil {
		return nil, err
	}
	return a.showSignIn(r, v, http.StatusOK, r.Query("user"), "")
}

func (a *api) showSignIn(r *httpapi.Request, v visitor, status int, user, failure string) (any, error) {
	page := signInPage{ServerName: a.ServerName, ClientName: a.clientName(r), User: user, Error: failure, FormToken: v.FormToken(), Providers: a.ssoChoices(r.Query("then"))}
	if a.Auth.RegistrationOpen() {
		page.Register = address(registerPath, back(r.Query("then")))
	}
	return v.show("oauth_login.html", status, page)
}

// clientName returns the name of the app that a person signs in for; "" if there is none.
func (a *api) clientName(r *httpapi.Request) string {
	u, err := url.Parse(back(r.Query("then")))
	if err != nil || u.Path != oauth.Path+"/authorize" {
		return ""
	}
	asked, err := a.OAuth.Authorize(r.Context(), u.Query())
	if err != nil {
		return ""
	}
	return asked.Client.Name()
}

// signIn signs a browser in.
func (a *api) signIn(r *httpapi.Request) (any, error) {
	v, form, ours, err := a.form(r)
	if err != nil {
		return ErrorPage(err)
	}
	if !ours {
		return a.showSignIn(r, v, http.StatusForbidden, form.Get("user"), stale)
	}
	v.cookie, err = a.OAuth.SignIn(r.Context(), form.Get("user"), form.Get("password"))
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.showSignIn(r, v, refusal.HTTPStatus(), form.Get("user"), refusal.Message)
	}
	if err != nil {
		return nil, err
	}
	return v.with(seeOther(back(r.Query("then")))), nil
}

// signOut signs a browser out, for another person or account.
func (a *api) signOut(r *httpapi.Request) (any, error) {
	v, _, ours, err := a.form(r)
	if err != nil {
		return ErrorPage(err)
	}
	if ours {
		if err := a.OAuth.SignOut(r.Context(), v.Browser); err != nil {
			return nil, err
		}
	}
	return seeOther(address(signInPath, back(r.Query("then")))), nil
}

package pages

import (
	"errors"
	"net/http"
	"net/url"

	"homeserver/internal/auth"
	"homeserver/internal/auth/terms"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// registerPage has the content of the page to make an account.
type registerPage struct {
	ServerName, ClientName, User, Error, FormToken string
	SignIn                                         string // the page for people who have an account
	Open, TokenNeeded                              bool
	Token                                          string
	Documents                                      map[string]terms.Document // to be accepted
}

// registerForm shows the page to make an account. Section "User registration".
func (a *api) registerForm(r *httpapi.Request) (any, error) {
	v, err := a.visitor(r)
	if err != nil {
		return nil, err
	}
	return a.showRegister(r, v, http.StatusOK, url.Values{"user": {r.Query("user")}, "token": {r.Query("token")}}, "")
}

func (a *api) showRegister(r *httpapi.Request, v visitor, status int, typed url.Values, failure string) (any, error) {
	return v.show("oauth_register.html", status, registerPage{
		ServerName: a.ServerName, ClientName: a.clientName(r), User: typed.Get("user"), Error: failure, FormToken: v.FormToken(),
		SignIn: address(signInPath, back(r.Query("then"))), Open: a.Auth.RegistrationOpen(),
		TokenNeeded: a.Auth.TokenNeeded(), Token: typed.Get("token"), Documents: terms.Of(a.Stages),
	})
}

// registerOnPage makes an account and signs the browser in to it.
func (a *api) registerOnPage(r *httpapi.Request) (any, error) {
	v, form, ours, err := a.form(r)
	if err != nil {
		return ErrorPage(err)
	}
	if !ours {
		return a.showRegister(r, v, http.StatusForbidden, form, stale)
	}
	cookie, err := a.OAuth.Register(r.Context(), auth.PageRegistration{Username: form.Get("user"), Password: form.Get("password"), Token: form.Get("token"), Accepted: form.Get("accept") != ""}, r.Client())
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.showRegister(r, v, refusal.HTTPStatus(), form, refusal.Message)
	}
	if err != nil {
		return nil, err
	}
	v.cookie = cookie
	return v.with(seeOther(back(r.Query("then")))), nil
}

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"homeserver/internal/api/pages"
	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// tutorial is the page that a newcomer meets first. GET /.
func (a *API) tutorial(*httpapi.Request) (any, error) { return pages.Tutorial() }

// webFile is a script, a style or a picture of the pages.
func (a *API) webFile(r *httpapi.Request) (any, error) {
	if file, ok := pages.Named(r.Param("fileName")); ok {
		return file, nil
	}
	return nil, httpapi.ErrUnknownPath
}

// hiddenField is a field of a form that people don't see.
type hiddenField struct{ Name, Value string }

// forwarded are the parameters of the login fallback that it hands to the login:
// all that are not credentials. Section "Login Fallback".
var forwarded = []string{"device_id", "initial_device_display_name", "refresh_token"}

type loginPage struct {
	ServerName, User, Error string
	Forwarded               []hiddenField
}

// loginFallback is the page to log in with. Section "Login Fallback",
// GET /_matrix/static/client/login/, and GET /login/fallback of older clients.
func (a *API) loginFallback(r *httpapi.Request) (any, error) {
	return a.loginPage(http.StatusOK, "", r.QueryValues())
}

func (a *API) loginPage(status int, failure string, known url.Values) (any, error) {
	page := loginPage{ServerName: a.serverName, User: known.Get("user"), Error: failure}
	for _, name := range forwarded {
		if value := known.Get(name); value != "" {
			page.Forwarded = append(page.Forwarded, hiddenField{name, value})
		}
	}
	return pages.Render("login.html", status, page)
}

type loggedInPage struct{ UserID, DeviceID, Response string }

// submitLogin logs in without JavaScript, and shows the answer.
func (a *API) submitLogin(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return errorPage(err)
	}
	credentials, err := a.auth.Login(r.Context(), auth.LoginRequest{
		Type:                     uia.StagePassword,
		Identifier:               &auth.Identifier{Type: "m.id.user", User: form.Get("user")},
		Password:                 form.Get("password"),
		DeviceID:                 form.Get("device_id"),
		InitialDeviceDisplayName: form.Get("initial_device_display_name"),
		RefreshToken:             form.Get("refresh_token") == "true",
	}, r.Client())
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.loginPage(refusal.HTTPStatus(), refusal.Message, form)
	}
	if err != nil {
		return nil, err
	}
	response, err := json.MarshalIndent(credentials, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode credentials: %w", err)
	}
	return pages.Render("login_done.html", http.StatusOK, loggedInPage{credentials.UserID, credentials.DeviceID, string(response)})
}

// errorPage tells a person of an error that is for clients otherwise.
func errorPage(err error) (any, error) {
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return pages.Render("error.html", refusal.HTTPStatus(), refusal.Message)
	}
	return nil, err
}

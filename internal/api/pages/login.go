package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"homeserver/internal/auth"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// hiddenField is a field of a form that people don't see.
type hiddenField struct{ Name, Value string }

type loginPage struct {
	ServerName, User, Error string
	Forwarded               []hiddenField
}

// loginFallback returns the page to log in with. Section "Login Fallback",
// GET /_matrix/static/client/login/, and GET /login/fallback of older clients.
func (a *api) loginFallback(r *httpapi.Request) (any, error) {
	return a.loginPage(http.StatusOK, "", r.QueryValues())
}

func (a *api) loginPage(status int, failure string, known url.Values) (any, error) {
	page := loginPage{ServerName: a.ServerName, User: known.Get("user"), Error: failure}
	// The page passes the parameters that are not credentials on to the login.
	for _, name := range []string{"device_id", "initial_device_display_name", "refresh_token"} {
		if value := known.Get(name); value != "" {
			page.Forwarded = append(page.Forwarded, hiddenField{name, value})
		}
	}
	return Render("login.html", status, page)
}

type loggedInPage struct{ UserID, DeviceID, Response string }

// submitLogin logs in without JavaScript, and shows the answer.
func (a *api) submitLogin(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return ErrorPage(err)
	}
	credentials, err := a.Auth.Login(r.Context(), auth.LoginRequest{
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
	return Render("login_done.html", http.StatusOK, loggedInPage{credentials.UserID, credentials.DeviceID, string(response)})
}

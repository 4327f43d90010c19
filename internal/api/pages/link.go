package pages

import (
	"errors"
	"net/http"
	"net/url"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// linkPage has the content of the page on which a person allows another device to use the account.
type linkPage struct {
	ClientName, ClientHost, UserID, UserCode, FormToken, Error string
}

// link shows the page to type a code of another device, or, with the code, which app has it.
// Section "Device authorisation flow".
func (a *api) link(r *httpapi.Request) (any, error) {
	v, err := a.visitor(r)
	if err != nil {
		return nil, err
	}
	if v.UserID == "" {
		return v.with(seeOther(address(signInPath, linkPath+query(r.URL.RawQuery)))), nil
	}
	code := r.Query("user_code")
	if code == "" {
		return v.show("oauth_link.html", http.StatusOK, linkPage{})
	}
	device, err := a.OAuth.DeviceRequest(r.Context(), code)
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return v.show("oauth_link.html", refusal.HTTPStatus(), linkPage{Error: refusal.Message})
	}
	if err != nil {
		return nil, err
	}
	return v.show("oauth_link.html", http.StatusOK, linkPage{
		ClientName: device.Client.Name(), ClientHost: device.Client.Host(), UserID: v.UserID, UserCode: code, FormToken: v.FormToken(),
	})
}

// decideLink notes what the person has decided.
func (a *api) decideLink(r *httpapi.Request, v visitor, form url.Values) (any, error) {
	allow := form.Get("decision") == "allow"
	err := a.OAuth.DecideDevice(r.Context(), v.Browser, form.Get("user_code"), allow)
	if errors.Is(err, oauth.ErrSignedOut) {
		return v.with(seeOther(linkPath)), nil
	}
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return v.show("oauth_link.html", refusal.HTTPStatus(), linkPage{Error: refusal.Message})
	}
	if err != nil {
		return nil, err
	}
	done := "The device is signed in. You can close this page."
	if !allow {
		done = "The device was refused. You can close this page."
	}
	return a.showAccount(v, "account_done.html", http.StatusOK, accountPage{Done: done})
}

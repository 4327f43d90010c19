package pages

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/session"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/profile"
)

// accountPage has the content of the pages of an account.
type accountPage struct {
	ServerName, UserID, FormToken string
	Error, Done                   string
	Name                          string // of the user
	HasPassword                   bool
	Devices                       []accountDevice
	Device                        accountDevice
}

// accountDevice is a device as its owner reads of it.
type accountDevice struct {
	ID, Name, Seen, IP, Address string
}

func newAccountDevice(d session.Device) accountDevice {
	name := string(d.DisplayName)
	if name == "" {
		name = d.DeviceID
	}
	return accountDevice{
		ID: d.DeviceID, Name: name, IP: string(d.LastSeenIP), Seen: time.UnixMilli(d.LastSeenTS).UTC().Format("2 January 2006"),
		Address: accountPath + "?" + url.Values{"action": {oauth.ActionDevice}, "device_id": {d.DeviceID}}.Encode(),
	}
}

// actionPassword is the action that the specification has no name for.
const actionPassword = "password"

// account shows the page of an account that an app, or a link of another page, asks for. Section
// "Account management URL actions".
func (a *api) account(r *httpapi.Request) (any, error) {
	v, err := a.visitor(r)
	if err != nil {
		return nil, err
	}
	action := oauth.Action(r.Query("action"))
	if v.UserID == "" || action == oauth.ActionResetKeys && !a.OAuth.IsFresh(v.Browser) {
		return v.with(seeOther(address(signInPath, accountPath+query(r.URL.RawQuery), "user", v.UserID))), nil
	}
	switch action {
	case oauth.ActionProfile:
		return a.accountName(r, v, http.StatusOK, "")
	case oauth.ActionDevices:
		return a.accountDevices(r, v, "")
	case oauth.ActionDevice, oauth.ActionEndDevice:
		return a.accountDevice(r, v)
	case actionPassword:
		return a.showAccount(v, "account_password.html", http.StatusOK, accountPage{})
	case oauth.ActionDeactivate:
		return a.showDeactivation(r, v, http.StatusOK, "")
	case oauth.ActionResetKeys:
		return a.showAccount(v, "account_reset.html", http.StatusOK, accountPage{})
	default:
		return a.showAccount(v, "account.html", http.StatusOK, accountPage{})
	}
}

// showDeactivation shows the page to close an account. Who has no password here signs in for it, unless that was lately.
func (a *api) showDeactivation(r *httpapi.Request, v visitor, status int, failure string) (any, error) {
	known, err := a.Auth.HasPassword(r.Context(), v.UserID)
	if err != nil {
		return nil, err
	}
	if !known && !a.OAuth.IsFresh(v.Browser) {
		return v.with(seeOther(address(signInPath, accountPath+"?action="+oauth.ActionDeactivate, "user", v.UserID))), nil
	}
	return a.showAccount(v, "account_deactivate.html", status, accountPage{Error: failure, HasPassword: known})
}

// showAccount shows a page of an account.
func (a *api) showAccount(v visitor, name string, status int, page accountPage) (any, error) {
	page.ServerName, page.UserID, page.FormToken = a.ServerName, v.UserID, v.FormToken()
	return v.show(name, status, page)
}

func (a *api) accountName(r *httpapi.Request, v visitor, status int, failure string) (any, error) {
	raw, err := a.Profile.Field(r.Context(), v.UserID, profile.DisplayName)
	if err != nil && !matrix.IsCode(err, matrix.NotFound) {
		return nil, err
	}
	var name string
	_ = json.Unmarshal(raw, &name) // no name is none
	return a.showAccount(v, "account_profile.html", status, accountPage{Name: name, Error: failure})
}

// accountDevices lists the devices, the one that was seen last first.
func (a *api) accountDevices(r *httpapi.Request, v visitor, done string) (any, error) {
	devices, err := a.Auth.Sessions.Devices(r.Context(), v.UserID)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(devices, func(x, y session.Device) int { return int(min(max(y.LastSeenTS-x.LastSeenTS, -1), 1)) })
	page := accountPage{Done: done}
	for _, d := range devices {
		page.Devices = append(page.Devices, newAccountDevice(d))
	}
	return a.showAccount(v, "account_devices.html", http.StatusOK, page)
}

func (a *api) accountDevice(r *httpapi.Request, v visitor) (any, error) {
	device, err := a.Auth.Sessions.Device(r.Context(), v.UserID, r.Query("device_id"))
	if matrix.IsCode(err, matrix.NotFound) {
		return a.accountDevices(r, v, "There is no such device any more.")
	}
	if err != nil {
		return nil, err
	}
	return a.showAccount(v, "account_device.html", http.StatusOK, accountPage{Device: newAccountDevice(device)})
}

// inAccount returns the handler of a form of the page of an account. Who is not signed in any
// more, or has sent a form of another page, is shown the page of the account.
func (a *api) inAccount(do func(r *httpapi.Request, v visitor, form url.Values) (any, error)) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		v, form, ours, err := a.form(r)
		if err != nil {
			return ErrorPage(err)
		}
		if !ours || v.UserID == "" {
			return v.with(seeOther(accountPath)), nil
		}
		return do(r, v, form)
	}
}

// setName changes the display name.
func (a *api) setName(r *httpapi.Request, v visitor, form url.Values) (any, error) {
	if v.Suspended {
		refusal := matrix.ErrSuspended()
		return a.accountName(r, v, refusal.HTTPStatus(), refusal.Message)
	}
	name, err := json.Marshal(form.Get("displayname"))
	if err != nil {
		return nil, err
	}
	err = a.Profile.Set(r.Context(), matrix.Session{UserID: v.UserID}, v.UserID, profile.DisplayName, name)
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.accountName(r, v, refusal.HTTPStatus(), refusal.Message)
	}
	if err != nil {
		return nil, err
	}
	return a.showAccount(v, "account.html", http.StatusOK, accountPage{Done: "Your name is changed."})
}

// endDevice signs a device out.
func (a *api) endDevice(r *httpapi.Request, v visitor, form url.Values) (any, error) {
	device, err := a.Auth.Sessions.Device(r.Context(), v.UserID, form.Get("device_id"))
	if err == nil {
		err = a.Auth.Sessions.Logout(r.Context(), matrix.Session{UserID: v.UserID, DeviceID: device.DeviceID})
	}
	if err != nil && !matrix.IsCode(err, matrix.NotFound) {
		return nil, err
	}
	return a.accountDevices(r, v, "The device is signed out.")
}

// setPassword changes the password. The browser stays signed in.
func (a *api) setPassword(r *httpapi.Request, v visitor, form url.Values) (any, error) {
	cookie, err := a.OAuth.ReplacePassword(r.Context(), v.Browser, form.Get("password"), form.Get("new_password"), form.Get("logout_devices") == "true")
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.showAccount(v, "account_password.html", refusal.HTTPStatus(), accountPage{Error: refusal.Message})
	}
	if err != nil {
		return nil, err
	}
	v.cookie = cookie
	return a.showAccount(v, "account_done.html", http.StatusOK, accountPage{Done: "Your password is changed."})
}

// closeAccount closes the account for ever.
func (a *api) closeAccount(r *httpapi.Request, v visitor, form url.Values) (any, error) {
	err := a.Auth.DeactivateOnPage(r.Context(), v.UserID, form.Get("password"), form.Get("erase") == "true", a.OAuth.IsFresh(v.Browser))
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return a.showDeactivation(r, v, refusal.HTTPStatus(), refusal.Message)
	}
	if err != nil {
		return nil, err
	}
	v.UserID = ""
	return a.showAccount(v, "account_done.html", http.StatusOK, accountPage{Done: "Your account is closed."})
}

// approveReset allows an app to make new keys by which others know the user.
func (a *api) approveReset(r *httpapi.Request, v visitor, _ url.Values) (any, error) {
	if !a.OAuth.IsFresh(v.Browser) {
		return seeOther(accountPath + "?action=" + oauth.ActionResetKeys), nil
	}
	if err := a.OAuth.ApproveReset(r.Context(), v.Browser); err != nil {
		return nil, err
	}
	return a.showAccount(v, "account_done.html", http.StatusOK, accountPage{Done: "Go back to your app: it goes on now."})
}

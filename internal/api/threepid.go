package api

import (
	"context"
	"net/http"

	"homeserver/internal/api/pages"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// requestEmailToken sends a mail by which an address is confirmed. Sections "Account
// registration", "Password management" and "Adding Account Administrative Contact
// Information", POST …/email/requestToken.
func (a *API) requestEmailToken(purpose threepid.Purpose) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		var body threepid.EmailRequest
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
		return a.threepids.RequestEmail(r.Context(), purpose, body)
	}
}

// requestPhoneToken does the same for a phone number. POST …/msisdn/requestToken.
func (a *API) requestPhoneToken(purpose threepid.Purpose) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		var body threepid.PhoneRequest
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
		return a.threepids.RequestPhone(r.Context(), purpose, body)
	}
}

type contactsAnswer struct {
	Threepids []threepid.Contact `json:"threepids"`
}

// getThreepids lists the addresses of an account. Section "Adding Account
// Administrative Contact Information", GET /account/3pid.
func (a *API) getThreepids(r *httpapi.Request, who matrix.Session) (any, error) {
	list, err := a.threepids.List(r.Context(), who.UserID)
	return contactsAnswer{list}, err
}

// postThreepid adds an address as clients did before there was /add, after
// interactive authentication too. POST /account/3pid.
func (a *API) postThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.AddOrBindRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.threepids.AddOrBind(r.Context(), who, body)
}

// addThreepid adds an address after interactive authentication.
// POST /account/3pid/add.
func (a *API) addThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.AddRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.threepids.Add(r.Context(), who, body)
}

// bindThreepid binds an address at an identity server. POST /account/3pid/bind.
func (a *API) bindThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.Credentials
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.threepids.Bind(r.Context(), who.UserID, body)
}

type unbindAnswer struct {
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// deleteThreepid takes an address from an account. POST /account/3pid/delete.
func (a *API) deleteThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.removeThreepid(r, who, a.threepids.Delete)
}

// unbindThreepid takes an address from an identity server, and leaves it with the
// account. POST /account/3pid/unbind.
func (a *API) unbindThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.removeThreepid(r, who, a.threepids.Unbind)
}

func (a *API) removeThreepid(r *httpapi.Request, who matrix.Session, remove func(context.Context, string, threepid.Removal) (string, error)) (any, error) {
	var body threepid.Removal
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	result, err := remove(r.Context(), who.UserID, body)
	return unbindAnswer{result}, err
}

type submitAnswer struct {
	Success bool `json:"success"`
}

// submitToken takes the code of a text message from a client. Its body may be a form,
// as drafts of the identity service API had it. POST submit_url.
func (a *API) submitToken(r *httpapi.Request) (any, error) {
	var body threepid.Submission
	if err := r.Decode(&body); err != nil {
		form, notForm := r.DecodeForm()
		if !matrix.IsCode(err, matrix.NotJSON) || notForm != nil || !form.Has("sid") {
			return nil, err
		}
		body = threepid.Submission{SID: form.Get("sid"), ClientSecret: form.Get("client_secret"), Token: form.Get("token")}
	}
	return submitAnswer{true}, a.threepids.Submit(r.Context(), body)
}

// confirmPage is what the pages about an address show.
type confirmPage struct {
	ServerName, SID, Token string
	threepid.Pending
}

// threepidPage is where the link in a mail leads. It shows a button and changes
// nothing, since more than people open the links in mails.
func (a *API) threepidPage(r *httpapi.Request) (any, error) {
	sid, token := r.Query("sid"), r.Query("token")
	found, err := a.threepids.Pending(r.Context(), sid, token)
	if err != nil {
		return errorPage(err)
	}
	if found.Validated {
		return a.confirmedPage(found)
	}
	return pages.Render("threepid.html", http.StatusOK, confirmPage{a.serverName, sid, token, found})
}

// confirmThreepid is what its button does.
func (a *API) confirmThreepid(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return errorPage(err)
	}
	found, err := a.threepids.Confirm(r.Context(), form.Get("sid"), form.Get("token"))
	if err != nil {
		return errorPage(err)
	}
	return a.confirmedPage(found)
}

// confirmedPage sends people on to next_link, by themselves where its host is allowed.
// The page does so rather than a redirect: browsers refuse forms that are redirected to
// other sites, by the page's Content-Security-Policy.
func (a *API) confirmedPage(found threepid.Pending) (any, error) {
	return pages.Render("threepid_done.html", http.StatusOK, confirmPage{ServerName: a.serverName, Pending: found})
}

package client

import (
	"context"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// requestEmailToken sends a mail by which an address is confirmed. Sections "Account
// registration", "Password management" and "Adding Account Administrative Contact
// Information", POST …/email/requestToken.
func (a *api) requestEmailToken(purpose threepid.Purpose) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		var body threepid.EmailRequest
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
		return a.Threepids.RequestEmail(r.Context(), purpose, body)
	}
}

// requestPhoneToken does the same for a phone number. POST …/msisdn/requestToken.
func (a *api) requestPhoneToken(purpose threepid.Purpose) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		var body threepid.PhoneRequest
		if err := r.Decode(&body); err != nil {
			return nil, err
		}
		return a.Threepids.RequestPhone(r.Context(), purpose, body)
	}
}

type contactsAnswer struct {
	Threepids []threepid.Contact `json:"threepids"`
}

// getThreepids lists the addresses of an account. Section "Adding Account
// Administrative Contact Information", GET /account/3pid.
func (a *api) getThreepids(r *httpapi.Request, who matrix.Session) (any, error) {
	list, err := a.Threepids.List(r.Context(), who.UserID)
	return contactsAnswer{list}, err
}

// postThreepid adds an address as clients did before there was /add, after
// interactive authentication too. POST /account/3pid.
func (a *api) postThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.AddOrBindRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Threepids.AddOrBind(r.Context(), who, body)
}

// addThreepid adds an address after interactive authentication.
// POST /account/3pid/add.
func (a *api) addThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.AddRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Threepids.Add(r.Context(), who, body)
}

// bindThreepid binds an address at an identity server. POST /account/3pid/bind.
func (a *api) bindThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	var body threepid.Credentials
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return httpapi.Empty{}, a.Threepids.Bind(r.Context(), who.UserID, body)
}

type unbindAnswer struct {
	IDServerUnbindResult string `json:"id_server_unbind_result"`
}

// deleteThreepid removes an address from an account. POST /account/3pid/delete.
func (a *api) deleteThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.removeThreepid(r, who, a.Threepids.Delete)
}

// unbindThreepid removes an address from an identity server, and keeps it at the
// account. POST /account/3pid/unbind.
func (a *api) unbindThreepid(r *httpapi.Request, who matrix.Session) (any, error) {
	return a.removeThreepid(r, who, a.Threepids.Unbind)
}

func (a *api) removeThreepid(r *httpapi.Request, who matrix.Session, remove func(context.Context, string, threepid.Removal) (string, error)) (any, error) {
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

// submitToken submits the code of a text message for a client. Its body may be a form,
// as drafts of the identity service API had it. POST submit_url.
func (a *api) submitToken(r *httpapi.Request) (any, error) {
	var body threepid.Submission
	if err := r.Decode(&body); err != nil {
		form, notForm := r.DecodeForm()
		if !matrix.IsCode(err, matrix.NotJSON) || notForm != nil || !form.Has("sid") {
			return nil, err
		}
		body = threepid.Submission{SID: form.Get("sid"), ClientSecret: form.Get("client_secret"), Token: form.Get("token")}
	}
	return submitAnswer{true}, a.Threepids.Submit(r.Context(), body)
}

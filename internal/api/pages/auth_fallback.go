package pages

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"homeserver/internal/auth"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/terms"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/httpapi"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// stagePage has the content of a stage's page.
type stagePage struct {
	ServerName, Stage, Error string
	Effect                   string // what the request would do

	User      string
	UserKnown bool // it must be this one

	Country, Address string
	Sent             threepid.Credentials // of the message; zero before there is one

	Documents map[string]terms.Document // to be accepted

	Providers []sso.Provider // at which the user can confirm it
}

// authFallback returns the page to complete a stage of interactive authentication with.
// Section "Fallback", GET /auth/{authType}/fallback/web.
func (a *api) authFallback(r *httpapi.Request) (any, error) {
	stage, err := a.fallbackStage(r)
	if err != nil {
		return ErrorPage(err)
	}
	if stage.Completed {
		return Render("auth_done.html", http.StatusOK, nil)
	}
	return Render("auth_stage.html", http.StatusOK, a.newStagePage(r, stage, nil))
}

// fallbackStage finds the stage of a fallback, if there is a page for it.
func (a *api) fallbackStage(r *httpapi.Request) (uia.FallbackStage, error) {
	if !slices.Contains([]string{uia.StageDummy, uia.StagePassword, uia.StageEmail, uia.StagePhone, uia.StageSSO, uia.StageTerms}, r.Param("authType")) {
		return uia.FallbackStage{}, matrix.Errorf(matrix.Unrecognized, "This server has no page for this kind of authentication")
	}
	session := r.Query("session")
	if session == "" {
		return uia.FallbackStage{}, matrix.Errorf(matrix.MissingParam, "The address lacks the session that it is for")
	}
	return a.Stages.Fallback(r.Context(), session, r.Param("authType"))
}

// newStagePage fills the page with the stage and with the texts that were typed.
func (a *api) newStagePage(r *httpapi.Request, stage uia.FallbackStage, form url.Values) stagePage {
	page := stagePage{
		ServerName: a.ServerName, Stage: r.Param("authType"), Effect: stage.Effect,
		User: form.Get("user"), UserKnown: stage.UserID != "",
		Country: form.Get("country"), Address: form.Get("address"),
		Sent: threepid.Credentials{SID: form.Get("sid"), ClientSecret: form.Get("client_secret")},
	}
	if page.UserKnown {
		page.User = stage.UserID
	}
	if page.Stage == uia.StageTerms {
		page.Documents = terms.Of(a.Stages)
	}
	if page.Stage == uia.StageSSO {
		page.Providers = a.SSO.Providers()
	}
	return page
}

// submitAuthFallback does the next step of a stage: it sends the message to an address,
// or it completes the stage. POST to the same address.
func (a *api) submitAuthFallback(r *httpapi.Request) (any, error) {
	stage, err := a.fallbackStage(r)
	if err != nil {
		return ErrorPage(err)
	}
	form, err := r.DecodeForm()
	if err != nil {
		return ErrorPage(err)
	}
	if stage.Completed {
		return a.authFallback(r)
	}
	page := a.newStagePage(r, stage, form)
	if page.Stage == uia.StageSSO {
		return a.confirmBySSO(r, form.Get("provider"))
	}
	aboutAddress := page.Stage == uia.StageEmail || page.Stage == uia.StagePhone
	if aboutAddress && page.Sent.SID == "" {
		page.Sent, err = a.sendProof(r, threepid.PurposeOf(stage.Operation), page)
		return a.nextPage("auth_stage.html", page, err)
	}
	return a.nextPage("auth_done.html", page, a.completeStage(r, page, form))
}

// nextPage goes on to a page, or shows that of the stage again if that was refused.
func (a *api) nextPage(name string, page stagePage, err error) (any, error) {
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		page.Error = refusal.Message
		return Render("auth_stage.html", refusal.HTTPStatus(), page)
	}
	if err != nil {
		return nil, err
	}
	return Render(name, http.StatusOK, page)
}

// sendProof sends the message by which an address is confirmed.
func (a *api) sendProof(r *httpapi.Request, purpose threepid.Purpose, page stagePage) (threepid.Credentials, error) {
	if err := r.Charge(ratelimit.Mails, 1); err != nil {
		return threepid.Credentials{}, err
	}
	secret, attempt := rand.Text(), int64(1)
	var sent threepid.Session
	var err error
	if page.Stage == uia.StageEmail {
		request := threepid.EmailRequest{ClientSecret: secret, Email: page.Address, SendAttempt: &attempt}
		sent, err = a.Threepids.RequestEmail(r.Context(), purpose, request)
	} else {
		request := threepid.PhoneRequest{ClientSecret: secret, Country: page.Country, PhoneNumber: page.Address, SendAttempt: &attempt}
		sent, err = a.Threepids.RequestPhone(r.Context(), purpose, request)
	}
	if err != nil {
		return threepid.Credentials{}, err
	}
	return threepid.Credentials{SID: sent.SID, ClientSecret: secret}, nil
}

// completeStage completes the stage with the fields of the page.
func (a *api) completeStage(r *httpapi.Request, page stagePage, form url.Values) error {
	fields := map[string]any{}
	switch page.Stage {
	case uia.StagePassword:
		fields["identifier"] = auth.Identifier{Type: "m.id.user", User: page.User}
		fields["password"] = form.Get("password")
	case uia.StageTerms:
		if form.Get("accept") == "" {
			return matrix.Errorf(matrix.MissingParam, "To go on, accept the documents")
		}
	case uia.StageEmail:
		fields["threepid_creds"] = page.Sent
	case uia.StagePhone:
		fields["threepid_creds"] = page.Sent
		code := threepid.Submission{SID: page.Sent.SID, ClientSecret: page.Sent.ClientSecret, Token: form.Get("code")}
		if err := a.Threepids.Submit(r.Context(), code); err != nil {
			return err
		}
	}
	return a.Stages.CompleteFallback(r.Context(), r.Query("session"), page.Stage, fields)
}

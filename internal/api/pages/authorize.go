package pages

import (
	"errors"
	"net/http"
	"strings"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// maxQuery bounds the parameters of the authorization endpoint, in bytes.
const maxQuery = 8 << 10

// consentPage has the content of the page on which a person agrees.
type consentPage struct {
	ClientName, ClientHost, PolicyURI, TOSURI string
	UserID, ReplacedDevice, RedirectHost      string
	FormToken, OtherAccount                   string
}

// authorize asks the person whether an app may use the account, who signs in first. Section
// "Authorisation code flow".
func (a *api) authorize(r *httpapi.Request) (any, error) {
	asked, answer, err := a.authorization(r)
	if answer != nil || err != nil {
		return answer, err
	}
	v, err := a.visitor(r)
	if err != nil {
		return nil, err
	}
	switch here := pageWithoutPrompt(r); {
	case asked.Asks(oauth.PromptNone) && v.UserID == "":
		return seeOther(asked.Refused(oauth.LoginRequired())), nil
	case asked.Asks(oauth.PromptNone):
		return seeOther(asked.Refused(oauth.ConsentRequired())), nil
	case asked.Asks(oauth.PromptCreate):
		return v.with(seeOther(address(registerPath, here, "user", userOfHint(asked.Hint)))), nil
	case v.UserID == "" || asked.Asks(oauth.PromptLogin):
		return v.with(seeOther(address(signInPath, here, "user", userOfHint(asked.Hint)))), nil
	default:
		return a.consent(r, v, asked, here)
	}
}

// authorization reads what a client asks for. There is an answer instead where it is refused.
func (a *api) authorization(r *httpapi.Request) (*oauth.Authorization, http.Handler, error) {
	if len(r.URL.RawQuery) > maxQuery {
		page, err := Render("error.html", http.StatusBadRequest, "The address of this page is too long.")
		return nil, page, err
	}
	asked, err := a.OAuth.Authorize(r.Context(), r.QueryValues())
	refusal, ok := errors.AsType[*matrix.Error](err)
	switch {
	case ok && asked != nil:
		return nil, seeOther(asked.Refused(refusal)), nil
	case ok:
		page, err := Render("error.html", refusal.HTTPStatus(), "Your app has sent you here with a mistake: "+refusal.Message+".")
		return nil, page, err
	default:
		return asked, nil, err
	}
}

// pageWithoutPrompt returns the address of the page of a request for a person who has done by then
// what prompt asks for.
func pageWithoutPrompt(r *httpapi.Request) string {
	values := r.URL.Query()
	values.Del("prompt")
	return oauth.Path + "/authorize?" + values.Encode()
}

// userOfHint returns the user that a login_hint names.
func userOfHint(hint string) string {
	hint = strings.TrimPrefix(hint, "mxid:")
	if len(hint) > matrix.MaxIDBytes {
		return ""
	}
	return hint
}

// consent shows the page on which a person agrees.
func (a *api) consent(r *httpapi.Request, v visitor, asked *oauth.Authorization, here string) (any, error) {
	replaced, err := a.OAuth.Replaces(r.Context(), v.Browser, asked)
	if err != nil {
		return nil, err
	}
	page, err := Render("oauth_consent.html", http.StatusOK, consentPage{
		ClientName: asked.Client.Name(), ClientHost: asked.Client.Host(), PolicyURI: asked.Client.PolicyURI, TOSURI: asked.Client.TOSURI,
		UserID: v.UserID, ReplacedDevice: replaced, RedirectHost: asked.RedirectHost(),
		FormToken: v.FormToken(), OtherAccount: address(signOutPath, here),
	})
	if err != nil {
		return nil, err
	}
	return v.with(page.LeavingByForm()), nil
}

// decide takes a person's decision to the app.
func (a *api) decide(r *httpapi.Request) (any, error) {
	asked, answer, err := a.authorization(r)
	if answer != nil || err != nil {
		return answer, err
	}
	v, form, ours, err := a.form(r)
	if err != nil {
		return ErrorPage(err)
	}
	if here := pageWithoutPrompt(r); !ours || v.UserID == "" {
		return v.with(seeOther(here)), nil // to be asked again
	}
	if form.Get("decision") != "allow" {
		return seeOther(asked.Refused(oauth.Denied())), nil
	}
	to, err := a.OAuth.Grant(r.Context(), v.Browser, asked)
	if errors.Is(err, oauth.ErrSignedOut) {
		return v.with(seeOther(pageWithoutPrompt(r))), nil
	}
	if err != nil {
		return ErrorPage(err)
	}
	return seeOther(to), nil
}

package pages

import (
	"net/http"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi"
)

// confirmPage has the content of the pages about an address.
type confirmPage struct {
	ServerName, SID, Token string
	threepid.Pending
}

// threepidPage returns where the link in a mail leads. It shows a button and changes
// nothing, since more than people open the links in mails.
func (a *api) threepidPage(r *httpapi.Request) (any, error) {
	sid, token := r.Query("sid"), r.Query("token")
	found, err := a.Threepids.Pending(r.Context(), sid, token)
	if err != nil {
		return ErrorPage(err)
	}
	if found.Validated {
		return a.confirmedPage(found)
	}
	return Render("threepid.html", http.StatusOK, confirmPage{a.ServerName, sid, token, found})
}

// confirmThreepid is called by the button of the page.
func (a *api) confirmThreepid(r *httpapi.Request) (any, error) {
	form, err := r.DecodeForm()
	if err != nil {
		return ErrorPage(err)
	}
	found, err := a.Threepids.Confirm(r.Context(), form.Get("sid"), form.Get("token"))
	if err != nil {
		return ErrorPage(err)
	}
	return a.confirmedPage(found)
}

// confirmedPage sends people on to next_link, by themselves where its host is allowed.
// The page does so rather than a redirect: browsers refuse forms that are redirected to
// other sites, by the page's Content-Security-Policy.
func (a *api) confirmedPage(found threepid.Pending) (any, error) {
	return Render("threepid_done.html", http.StatusOK, confirmPage{ServerName: a.ServerName, Pending: found})
}

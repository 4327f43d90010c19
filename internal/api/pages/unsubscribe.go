package pages

import (
	"net/http"

	"homeserver/internal/httpapi"
)

// unsubscribed has the content of the pages about mails that are to end.
type unsubscribed struct{ ServerName, UserID, Address string }

// unsubscribePage returns where the link in a mail about unread messages leads. It shows a
// button and changes nothing, since more than people open the links in mails.
func (a *api) unsubscribePage(r *httpapi.Request) (any, error) {
	of := unsubscribed{a.ServerName, r.Query("user_id"), r.Query("address")}
	if err := a.Mails.CheckLink(of.UserID, of.Address, r.Query("token")); err != nil {
		return ErrorPage(err)
	}
	return Render("unsubscribe.html", http.StatusOK, of)
}

// unsubscribe is called by the button of the page, and by mail programs: RFC 8058.
func (a *api) unsubscribe(r *httpapi.Request) (any, error) {
	of := unsubscribed{a.ServerName, r.Query("user_id"), r.Query("address")}
	if err := a.Mails.Unsubscribe(r.Context(), of.UserID, of.Address, r.Query("token")); err != nil {
		return ErrorPage(err)
	}
	return Render("unsubscribe_done.html", http.StatusOK, of)
}

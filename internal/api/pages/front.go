package pages

import (
	"net/http"

	"homeserver/internal/httpapi"
)

// Front says what people find who open the server's address in a browser. The zero value is
// the interactive tutorial.
type Front struct {
	// Plain is for a page that names the server, and says how to connect an app.
	Plain bool
	// Redirect is the URL that browsers are sent on to; empty: they are not.
	Redirect string
	// Address is the URL that apps may be given in place of the server's name; empty: it
	// is that of the page itself.
	Address string
	// Help is the URL of a page with help; empty: there is none.
	Help string
}

type plainPage struct{ ServerName, Address, Help string }

// frontPage returns what stands at the root. GET /.
func (a *api) frontPage(*httpapi.Request) (any, error) {
	switch front := a.Front; {
	case front.Redirect != "":
		return redirect(front.Redirect), nil
	case front.Plain:
		return fixed("plain.html", plainPage{a.ServerName, front.Address, front.Help})
	default:
		return fixed("tutorial.html", nil)
	}
}

// fixed makes a page that is the same for everybody.
func fixed(name string, data any) (*File, error) {
	page, err := Render(name, http.StatusOK, data)
	if err != nil {
		return nil, err
	}
	return newFile("text/html; charset=utf-8", page.body), nil
}

// redirect is the URL of another page. It is a http.Handler that sends browsers there.
type redirect string

// ServeHTTP sends the browser on, for this time only: what stands in front may change.
func (to redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setPageHeaders(w.Header())
	http.Redirect(w, r, string(to), http.StatusFound)
}

// Unknown returns the page for a path that nothing is served at.
func Unknown(serverName string) (*Page, error) {
	return Render("not_found.html", http.StatusNotFound, serverName)
}

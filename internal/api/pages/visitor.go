package pages

import (
	"net/http"
	"net/url"
	"strings"

	"homeserver/internal/auth/oauth"
	"homeserver/internal/httpapi"
)

// visitor is the browser of a request. Its cookie is not "" if the answer has to set it.
type visitor struct {
	oauth.Browser
	cookie string
	secure bool
}

// cookieName is the name of the cookie. With the prefix __Host- browsers take it from this host
// by https only, and no other host can set it.
func cookieName(secure bool) string {
	if secure {
		return "__Host-homeserver"
	}
	return "homeserver"
}

// visitor finds out who is signed in to the browser of a request.
func (a *api) visitor(r *httpapi.Request) (visitor, error) {
	v := visitor{secure: a.OAuth.Secure()}
	sent, err := r.Cookie(cookieName(v.secure))
	if err != nil || sent.Value == "" || len(sent.Value) > maxCookie {
		v.Browser, v.cookie = oauth.NewBrowser()
		return v, nil
	}
	v.Browser, err = a.OAuth.Browser(r.Context(), sent.Value)
	return v, err
}

// maxCookie is more than the cookie has, in bytes.
const maxCookie = 128

// cookieAnswer is an answer to a browser that sets cookies.
type cookieAnswer struct {
	http.Handler
	cookies []*http.Cookie
}

// ServeHTTP sends the answer.
func (a cookieAnswer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, cookie := range a.cookies {
		http.SetCookie(w, cookie)
	}
	a.Handler.ServeHTTP(w, r)
}

// withCookies returns an answer that sets cookies, unless there is an error.
func withCookies(answer any, err error, cookies ...*http.Cookie) (any, error) {
	handler, ok := answer.(http.Handler)
	if err != nil || !ok || len(cookies) == 0 {
		return answer, err
	}
	return cookieAnswer{handler, cookies}, nil
}

// with returns the answer, with the cookie of the browser if it has none yet.
func (v visitor) with(h http.Handler) http.Handler {
	if v.cookie == "" {
		return h
	}
	return cookieAnswer{h, []*http.Cookie{{ //nolint:gosec // G124: without https a secure cookie would not come back
		Name: cookieName(v.secure), Value: v.cookie, Path: "/", Secure: v.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}}}
}

// show answers with a page.
func (v visitor) show(name string, status int, data any) (any, error) {
	page, err := Render(name, status, data)
	if err != nil {
		return nil, err
	}
	return v.with(page), nil
}

// form returns the browser of a request, and the form that it has sent; ours is false if that is not one of a page that this
// browser was shown lately.
func (a *api) form(r *httpapi.Request) (v visitor, form url.Values, ours bool, err error) {
	if v, err = a.visitor(r); err != nil {
		return v, nil, false, err
	}
	if form, err = r.DecodeForm(); err != nil {
		return v, nil, false, err
	}
	return v, form, v.HasSent(form.Get("form_token")), nil
}

// stale is what people read whose form is not one of a page that they were shown lately.
const stale = "This page was open for too long, or your browser has sent no cookies. Try again."

// seeOther is a redirect after a form: the other page is asked for by GET. It is a http.Handler that writes itself.
type seeOther string

// ServeHTTP sends the answer.
func (to seeOther) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", string(to))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// back returns the page that a person came from to sign in: one of this API, else that of the
// account.
func back(then string) string {
	u, err := url.Parse(then)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, oauth.Path+"/") || strings.Contains(then, "\\") || strings.Contains(u.Path, "..") {
		return accountPath
	}
	return u.EscapedPath() + query(u.RawQuery)
}

func query(raw string) string {
	if raw == "" {
		return ""
	}
	return "?" + raw
}

// address returns a page with the one to come back to.
func address(path, then string, more ...string) string {
	values := url.Values{"then": {then}}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] != "" {
			values.Set(more[i], more[i+1])
		}
	}
	return path + "?" + values.Encode()
}

package filter

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// Request is what is known of a request before it is served.
type Request struct {
	Method string
	// Path is the path as it was sent, with its escapes, and Query the query string without
	// the access token.
	Path, Query string
	// Since is the token that the parameter since has.
	Since string
	httpapi.Identity
}

// Of returns what is known of a request.
func Of(r *http.Request, endpoints *httpapi.Endpoints) Request {
	return Request{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: withoutToken(r.URL.RawQuery), Since: r.URL.Query().Get("since"),
		Identity: endpoints.Identify(r),
	}
}

// withoutToken leaves the access token out of a query string.
func withoutToken(query string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); pair == "" || err == nil && plain == "access_token" {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// Filter picks requests. An empty field picks all.
type Filter struct {
	Method string `json:"method,omitempty"`
	// Route is an endpoint's path as the specification writes it, without the prefix, and so
	// in each generation of the API; or with a prefix; or the path of a request.
	Route    string `json:"route,omitempty"`
	UserID   string `json:"user_id,omitempty"`
	DeviceID string `json:"device_id,omitempty"`
}

// all picks everything, where it stands for a method or a route.
const all = "*"

// Picks reports whether the filter picks a request.
func (f *Filter) Picks(r *Request) bool {
	return is(f.Method, r.Method) && f.picksRoute(r) && is(f.UserID, r.Session.UserID) && is(f.DeviceID, r.Session.DeviceID)
}

func is(wanted, got string) bool { return wanted == "" || wanted == all || wanted == got }

func (f *Filter) picksRoute(r *Request) bool {
	if is(f.Route, r.Path) {
		return true
	}
	wanted := httpapi.WithoutNames(f.Route)
	return r.Pattern != "" && (wanted == httpapi.WithoutNames(r.Identity.Path) || wanted == httpapi.WithoutNames(r.Pattern))
}

// methods are those that clients may use, which a filter can pick.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Check refuses a filter that can pick nothing, since it is misspelt: M_INVALID_PARAM.
func (f *Filter) Check(endpoints *httpapi.Endpoints) error {
	switch {
	case f.Method != strings.ToUpper(f.Method):
		return matrix.Errorf(matrix.InvalidParam, "method must be in capitals, such as %s", strings.ToUpper(f.Method))
	case f.Method == http.MethodOptions:
		return matrix.Errorf(matrix.InvalidParam, "method must be another: OPTIONS is what browsers ask by themselves, and is always answered")
	case f.Method != "" && f.Method != all && !slices.Contains(methods, f.Method):
		return matrix.Errorf(matrix.InvalidParam, "method must be one of %s, or *", strings.Join(methods, ", "))
	case f.UserID != "" && f.UserID != all && (f.UserID[0] != '@' || !strings.Contains(f.UserID, ":")):
		return matrix.Errorf(matrix.InvalidParam, "user_id must be a user ID, such as @alice:localhost")
	case f.Route == "" || f.Route == all || endpoints.Has(f.Route):
		return nil
	case !strings.HasPrefix(f.Route, "/_") && !strings.HasPrefix(f.Route, "/.well-known/"), strings.Contains(f.Route, "{"):
		return matrix.Errorf(matrix.InvalidParam,
			"route must be the path of an endpoint without its prefix, such as /rooms/{roomId}/send/{eventType}/{txnId}, or a full path: there is no endpoint %s",
			httpapi.Clip(f.Route, 256))
	}
	return nil
}

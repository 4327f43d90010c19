package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// Request is a request as an endpoint sees it: with its parts checked and decoded.
type Request struct {
	*http.Request
	x   *exchange
	ctx context.Context
}

// Context returns the context of the request, which ends when its client goes away, and, of one
// that waits, with its token.
func (r *Request) Context() context.Context { return r.ctx }

// Param returns a part of the path, decoded; empty if the route has no such part.
func (r *Request) Param(name string) string { return r.x.params.URLParam(name) }

// Generation returns the generation of the API that the request is one to.
func (r *Request) Generation() Generation { return r.x.generation }

// Client returns the client's properties known from the connection.
func (r *Request) Client() matrix.Client { return r.x.known() }

// known returns what is known of the client from the connection.
func (x *exchange) known() matrix.Client {
	return matrix.Client{Address: x.client, UserAgent: x.request.UserAgent()}
}

// AppService returns the application service whose token the request has, for endpoints that
// look at no access token else. M_MISSING_TOKEN, M_UNKNOWN_TOKEN. Application Service API,
// "Server admin style permissions".
func (r *Request) AppService() (matrix.AppService, error) {
	switch {
	case r.x.service.ID != "":
		return r.x.service, nil
	case r.x.token == "":
		return matrix.AppService{}, ErrMissingToken
	default:
		return matrix.AppService{}, errNoAppService
	}
}

// CheckOwn refuses to serve a user at the path of another: M_FORBIDDEN.
func (r *Request) CheckOwn(who matrix.Session) error {
	if r.Param("userId") != who.UserID {
		return errOtherUser
	}
	return nil
}

// Charge counts the request as n more of a kind. M_LIMIT_EXCEEDED.
func (r *Request) Charge(kind ratelimit.Kind, n int) error {
	_, err := r.x.engine.take(r.x, kind, n)
	return err
}

// Refuse answers with an error, for an answer that writes itself.
func (r *Request) Refuse(w http.ResponseWriter, err error) { r.x.engine.refuse(w, r.x, err) }

// QueryValues returns all parameters of the query string.
func (r *Request) QueryValues() url.Values { return r.x.query }

// Query returns a parameter of the query string; empty if it isn't there.
func (r *Request) Query(name string) string { return r.x.query.Get(name) }

// QueryInt returns a whole number from the query string, or the fallback if it isn't
// there. A number too large for an int becomes the largest one. M_INVALID_PARAM for
// anything else, or below 0.
func (r *Request) QueryInt(name string, fallback int) (int, error) {
	text := r.Query(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 0 {
		return 0, matrix.Errorf(matrix.InvalidParam, "%s must be a whole number, 0 or more", name)
	}
	return n, nil
}

// QueryBool returns a flag from the query string, false if it isn't there.
// M_INVALID_PARAM for anything but true and false.
func (r *Request) QueryBool(name string) (bool, error) {
	switch r.Query(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, matrix.Errorf(matrix.InvalidParam, "%s must be true or false", name)
	}
}

// decodeParams decodes the escapes of each part of the path, after routing has
// parted it. M_INVALID_PARAM for a part that no identifier could be.
func (x *exchange) decodeParams() error {
	params := &x.params.URLParams
	for i, raw := range params.Values {
		value, err := url.PathUnescape(raw)
		if err != nil || !isText(value) {
			return matrix.Errorf(matrix.InvalidParam, "%s in the path is not valid UTF-8 text", params.Keys[i])
		}
		params.Values[i] = value
	}
	return nil
}

// readQuery parses the query string. A semicolon is an ordinary character in it,
// as the URL standard has it, and raw quotes and braces are too.
func (x *exchange) readQuery() error {
	raw := x.request.URL.RawQuery
	if raw == "" {
		return nil
	}
	query, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
	if err != nil {
		return matrix.Errorf(matrix.InvalidParam, "the query string has an escape that is not valid")
	}
	for name, values := range query {
		for _, value := range values {
			if !isText(value) {
				return matrix.Errorf(matrix.InvalidParam, "%q in the query is not valid UTF-8 text", Clip(name, 64))
			}
		}
	}
	x.query = query
	return nil
}

// isText reports whether PostgreSQL would take the string as text.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

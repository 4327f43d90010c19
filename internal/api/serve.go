package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
)

// serve runs one endpoint: it checks what came with the request, once and for
// all handlers, calls the handler, and answers.
func (a *API) serve(w http.ResponseWriter, r *http.Request, rt *route) {
	x := exchangeOf(r)
	x.route = rt
	answer, err := a.call(r, x, rt)
	if rt.work.load != transferring {
		x.givePlace() // whoever reads an answer slowly takes up nothing but a connection
		a.dropBody(x)
	}
	if err != nil {
		x.forgive(err)
		a.refuse(w, r, err)
		return
	}
	a.respond(w, r, answer)
}

// call checks path and query before the token, since the token may stand in the
// query, and reads the body only of those who may call. The request takes its place
// among others once its body is there: to send slowly holds up nobody.
func (a *API) call(r *http.Request, x *exchange, rt *route) (any, error) {
	if err := decodeParams(r); err != nil {
		return nil, err
	}
	if err := x.readQuery(r); err != nil {
		return nil, err
	}
	who, err := a.admit(r, x, rt)
	if err != nil {
		return nil, err
	}
	if rt.work.growth && a.room != nil {
		if err := a.room(); err != nil {
			return nil, err
		}
	}
	if !rt.handle.streams {
		if err := a.readBody(x, r); err != nil {
			return nil, err
		}
	}
	if err := a.chargeBody(x, rt); err != nil {
		return nil, err
	}
	if err := a.takePlace(x); err != nil {
		return nil, err
	}
	x.account = a.bounds.answers.Open(x.caller())
	r = r.WithContext(x.context(r))
	if rt.work.load == awaiting && x.user != "" && x.waits() {
		return a.poll(r, x, rt, who)
	}
	return rt.handle.answer(r, who)
}

// poll answers a request that may wait for long, unless its token ends meanwhile.
func (a *API) poll(r *http.Request, x *exchange, rt *route, who matrix.Session) (answer any, err error) {
	err = a.auth.WhileGood(r.Context(), accessToken(r, x), func(ctx context.Context) (err error) {
		answer, err = rt.handle.answer(r.WithContext(ctx), who)
		return err
	})
	return answer, err
}

// context is that of the request with on whose account it works, and for what memory.
func (x *exchange) context(r *http.Request) context.Context {
	return reserve.With(matrix.WithCaller(r.Context(), x.caller()), x.account)
}

// authenticate finds out who holds the request's access token, as far as the
// endpoint wants to know. M_MISSING_TOKEN, M_UNKNOWN_TOKEN; M_GUEST_ACCESS_FORBIDDEN
// for guests where they have no business. Section "Using access tokens".
func (a *API) authenticate(r *http.Request, x *exchange, needed access) (matrix.Session, error) {
	if needed == accessPublic {
		return matrix.Session{}, nil
	}
	token := accessToken(r, x)
	if token == "" && needed == accessOptional {
		return matrix.Session{}, nil
	}
	if token == "" {
		return matrix.Session{}, errMissingToken
	}
	who, err := a.auth.Authenticate(r.Context(), token)
	if err != nil {
		return matrix.Session{}, err
	}
	a.auth.Seen(who, clientOf(r))
	x.user = who.UserID
	if who.Guest && needed != accessGuest {
		return matrix.Session{}, errGuest
	}
	return who, nil
}

// clientOf is what the connection tells about who is asking.
func clientOf(r *http.Request) matrix.Client {
	return matrix.Client{Address: exchangeOf(r).client, UserAgent: r.UserAgent()}
}

// accessToken is the token of the Authorization header, or else that of the
// query parameter access_token, which the newest specification has dropped and
// every tutorial uses.
func accessToken(r *http.Request, x *exchange) string {
	const scheme = "Bearer "
	header := r.Header.Get("Authorization")
	if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
		return strings.TrimSpace(header[len(scheme):])
	}
	return x.query.Get("access_token")
}

// decodeParams decodes the escapes of each part of the path, after routing has
// parted it. M_INVALID_PARAM for a part that no identifier could be.
func decodeParams(r *http.Request) error {
	params := &chi.RouteContext(r.Context()).URLParams
	for i, raw := range params.Values {
		value, err := url.PathUnescape(raw)
		if err != nil || !isText(value) {
			return matrix.Errorf(matrix.InvalidParam, "%s in the path is not valid UTF-8 text", params.Keys[i])
		}
		params.Values[i] = value
	}
	return nil
}

// param is a part of the path, decoded; empty if the route has no such part.
func param(r *http.Request, name string) string { return chi.URLParam(r, name) }

// readQuery parses the query string. A semicolon is an ordinary character in it,
// as the URL standard has it, and raw quotes and braces are too.
func (x *exchange) readQuery(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return matrix.Errorf(matrix.InvalidParam, "the query string has an escape that is not valid")
	}
	for name, values := range query {
		for _, value := range values {
			if !isText(value) {
				return matrix.Errorf(matrix.InvalidParam, "%q in the query is not valid UTF-8 text", clip(name, 64))
			}
		}
	}
	x.query = query
	return nil
}

// query is a parameter of the query string; empty if it isn't there.
func query(r *http.Request, name string) string { return exchangeOf(r).query.Get(name) }

// queryInt is a whole number from the query string, or the fallback if it isn't
// there. What is too large for an int is the largest one. M_INVALID_PARAM for
// anything else, or below 0.
func queryInt(r *http.Request, name string, fallback int) (int, error) {
	text := query(r, name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 0 {
		return 0, matrix.Errorf(matrix.InvalidParam, "%s must be a whole number, 0 or more", name)
	}
	return n, nil
}

// queryBool is a flag from the query string, false if it isn't there.
// M_INVALID_PARAM for anything but true and false.
func queryBool(r *http.Request, name string) (bool, error) {
	switch query(r, name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, matrix.Errorf(matrix.InvalidParam, "%s must be true or false", name)
	}
}

// isText reports whether PostgreSQL would take the string as text.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// readBody reads the whole body before the handler runs, so that a long poll
// afterwards notices when its client goes away, and so that a sender that
// dawdles is given up in one place. 413 M_TOO_LARGE beyond the limit.
func (a *API) readBody(x *exchange, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength > a.maxBodyBytes {
		return errBodyTooLarge
	}
	control := http.NewResponseController(x.ResponseWriter)
	if err := setDeadline(control.SetReadDeadline, time.Now().Add(a.bodyTimeout)); err != nil {
		return errBodyIncomplete
	}
	body, err := a.readAll(x, http.MaxBytesReader(x.ResponseWriter, r.Body, a.maxBodyBytes), r.ContentLength)
	if err != nil {
		return bodyError(err)
	}
	x.body = body
	if err := setDeadline(control.SetReadDeadline, time.Time{}); err != nil {
		return errBodyIncomplete
	}
	return nil
}

// firstBodyBytes is what a body gets in memory before any of it has come.
const firstBodyBytes = 16 << 10

// readAll reads to the end, or as much as was announced; a negative length means that
// nothing was. Memory is taken as the body comes in: to announce a lot costs nothing.
func (a *API) readAll(x *exchange, body io.Reader, length int64) ([]byte, error) {
	size := int64(firstBodyBytes)
	if length >= 0 {
		size = min(size, length)
	}
	var whole []byte
	for {
		if err := a.holdBody(x, size); err != nil {
			return nil, err
		}
		whole = slices.Grow(whole, int(size)-len(whole))
		n, err := io.ReadFull(body, whole[len(whole):size])
		whole = whole[:len(whole)+n]
		switch {
		case int64(len(whole)) == length:
			return whole, nil
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			if length >= 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return whole, nil
		case err != nil:
			return nil, err
		}
		if size *= 2; length >= 0 {
			size = min(size, length)
		}
	}
}

// bodyError tells a body that is too large from one that didn't arrive: because
// the connection broke, or because it took too long.
func bodyError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return errBodyTooLarge
	}
	if refusal, ok := errors.AsType[*matrix.Error](err); ok {
		return refusal
	}
	return errBodyIncomplete
}

// streamBody is the body of a request to an endpoint that is [streaming]. How many
// bytes there may be is for the reader to limit. A sender must keep up
// slowestBytesPerSecond once the time for a body is over; else reading gives
// errBodyIncomplete, as it does when the connection breaks.
func (a *API) streamBody(r *http.Request) io.Reader {
	x := exchangeOf(r)
	return &bodyStream{
		body:     r.Body,
		control:  http.NewResponseController(x.ResponseWriter),
		deadline: time.Now().Add(a.bodyTimeout),
	}
}

type bodyStream struct {
	body     io.Reader
	control  *http.ResponseController
	deadline time.Time
}

// Read implements io.Reader. At the end of the body it takes the deadline off, so
// that the connection is watched again for a client that goes away.
func (s *bodyStream) Read(p []byte) (int, error) {
	if err := setDeadline(s.control.SetReadDeadline, s.deadline); err != nil {
		return 0, errBodyIncomplete
	}
	n, err := s.body.Read(p)
	s.deadline = s.deadline.Add(time.Duration(n) * time.Second / slowestBytesPerSecond)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, errBodyIncomplete
	}
	if err := setDeadline(s.control.SetReadDeadline, time.Time{}); err != nil {
		return n, errBodyIncomplete
	}
	return n, io.EOF
}

// setDeadline sets a deadline where there is a connection to set it on: the
// recorders of tests have none.
func setDeadline(set func(time.Time) error, at time.Time) error {
	if err := set(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set deadline of connection: %w", err)
	}
	return nil
}

package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"homeserver/internal/matrix"
)

// serve runs one endpoint: it checks the parts of the request, once and for all
// handlers, calls the handler, and answers.
func (e *Engine) serve(w http.ResponseWriter, r *http.Request, rt *Route, generation Generation) {
	x := exchangeOf(r)
	x.route, x.generation = rt, generation
	answer, err := e.call(r, x, rt)
	if rt.Work.load != transferring {
		x.freePlace() // a client that reads an answer slowly occupies a connection only
		e.dropBody(x)
	}
	if err != nil {
		x.forgive(err)
		e.refuse(w, r, err)
		return
	}
	e.respond(w, r, answer)
}

// call checks path and query before the token, since the token may be in the query, and
// reads the body only if the caller is allowed. The request gets its place among others
// once its body is there: a slow sender delays nobody.
func (e *Engine) call(r *http.Request, x *exchange, rt *Route) (any, error) {
	if err := x.decodeParams(); err != nil {
		return nil, err
	}
	if err := x.readQuery(r); err != nil {
		return nil, err
	}
	who, err := e.admit(r, x, rt)
	if err != nil {
		return nil, err
	}
	if rt.Work.Grows && e.room != nil {
		if err := e.room(); err != nil {
			return nil, err
		}
	}
	if !rt.Handler.Streams {
		if err := e.readBody(x, r); err != nil {
			return nil, err
		}
	}
	if err := e.chargeBody(x, rt); err != nil {
		return nil, err
	}
	if err := e.reservePlace(x); err != nil {
		return nil, err
	}
	x.account = e.bounds.answers.Open(x.caller())
	if rt.Work.load == awaiting && x.user != "" && x.service.ID == "" && x.waits() {
		return e.poll(r, x, rt, who)
	}
	return rt.Handler.answer(&Request{r, x}, who)
}

// poll answers a request that may wait for long, unless its token ends meanwhile.
func (e *Engine) poll(r *http.Request, x *exchange, rt *Route, who matrix.Session) (answer any, err error) {
	err = e.sessions.WhileGood(r.Context(), accessToken(r, x), func(ctx context.Context) (err error) {
		answer, err = rt.Handler.answer(&Request{r.WithContext(ctx), x}, who)
		return err
	})
	return answer, err
}

// authenticate returns the session of the request's access token, if the endpoint needs
// it. M_MISSING_TOKEN, M_UNKNOWN_TOKEN; M_GUEST_ACCESS_FORBIDDEN for guests at
// endpoints that are not for them. Section "Using access tokens".
func (e *Engine) authenticate(r *http.Request, x *exchange, needed Access) (matrix.Session, error) {
	if needed == AccessPublic {
		return matrix.Session{}, nil
	}
	token := accessToken(r, x)
	if token == "" && (needed == AccessOptional || needed == AccessAnyone) {
		return matrix.Session{}, nil
	}
	if token == "" {
		return matrix.Session{}, ErrMissingToken
	}
	who, err := e.session(r, x, token)
	if err != nil {
		return matrix.Session{}, err
	}
	x.user = who.UserID
	if who.Guest && needed != AccessGuest && needed != AccessAnyone {
		return matrix.Session{}, ErrGuest
	}
	return who, nil
}

// session returns the session of a token: that of a user, or the one that an application
// service asks for by the parameters user_id and device_id. Application Service API,
// "Identity assertion".
func (e *Engine) session(r *http.Request, x *exchange, token string) (matrix.Session, error) {
	if x.service.ID == "" {
		who, err := e.sessions.Authenticate(r.Context(), token)
		if err == nil {
			e.sessions.Seen(who, clientOf(r, x))
		}
		return who, err
	}
	deviceID := cmp.Or(x.query.Get("device_id"), x.query.Get("org.matrix.msc3202.device_id"))
	who, err := e.appServices.ActAs(r.Context(), x.service, x.query.Get("user_id"), deviceID)
	x.service.Unlimited = x.service.Unlimited || err == nil && who.UserID == x.service.Sender
	return who, err
}

// accessToken returns the token of the Authorization header, or else that of the
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

package httpapi

import (
	"cmp"
	"strings"

	"homeserver/internal/matrix"
)

// serve runs one endpoint: it checks the parts of the request, once and for all
// handlers, calls the handler, and answers.
func (e *Engine) serve(x *exchange) {
	answer, err := e.call(x)
	if x.route.Work.load != transferring {
		x.freePlace() // a client that reads an answer slowly occupies a connection only
		e.dropBody(x)
	}
	if err != nil {
		x.forgive(err)
		e.refuse(x, x, err)
		return
	}
	e.respond(x, answer)
}

// call checks path and query before the token, since the token may be in the query, and
// reads the body only if the caller is allowed. The request gets its place among others
// once its body is there: a slow sender delays nobody.
func (e *Engine) call(x *exchange) (any, error) {
	rt := x.route
	who, err := e.prepare(x, rt)
	if err != nil {
		return nil, err
	}
	if rt.Work.load == awaiting && x.user != "" && x.service.ID == "" && x.waits() {
		return e.poll(x, who)
	}
	return rt.Handler.answer(&Request{x.request, x, &x.context}, who)
}

// prepare does all that is to be done before the handler runs.
func (e *Engine) prepare(x *exchange, rt *Route) (who matrix.Session, err error) {
	if err := x.decodeParams(); err != nil {
		return who, err
	}
	if err := x.readQuery(); err != nil {
		return who, err
	}
	if who, err = e.admit(x, rt); err != nil {
		return who, err
	}
	if rt.Work.Grows && e.room != nil {
		if err := e.room(); err != nil {
			return who, err
		}
	}
	if !rt.Handler.Streams {
		if err := e.readBody(x); err != nil {
			return who, err
		}
	}
	if err := e.chargeBody(x, rt); err != nil {
		return who, err
	}
	if err := e.reservePlace(x); err != nil {
		return who, err
	}
	x.account = e.bounds.answers.Open(x.caller())
	return who, nil
}

// poll answers a request that may wait for long, unless its token ends meanwhile.
func (e *Engine) poll(x *exchange, who matrix.Session) (answer any, err error) {
	waiting, end, err := e.sessions.Watch(&x.context, x.token)
	if err != nil {
		return nil, err
	}
	defer func() {
		if ended := end(); ended != nil {
			answer, err = nil, ended
		}
	}()
	return x.route.Handler.answer(&Request{x.request, x, waiting}, who)
}

// authenticate returns the session of the request's access token, if the endpoint needs
// it. M_MISSING_TOKEN, M_UNKNOWN_TOKEN, M_USER_LOCKED, M_USER_SUSPENDED; M_GUEST_ACCESS_FORBIDDEN for guests at
// endpoints that are not for them. Section "Using access tokens".
func (e *Engine) authenticate(x *exchange, needed Access) (matrix.Session, error) {
	if needed == AccessPublic {
		return matrix.Session{}, nil
	}
	if x.token == "" && (needed == AccessOptional || needed == AccessAnyone) {
		return matrix.Session{}, nil
	}
	if x.token == "" {
		return matrix.Session{}, ErrMissingToken
	}
	who, err := e.session(x)
	if err != nil {
		return matrix.Session{}, err
	}
	x.user = who.UserID
	if who.Locked && !x.route.Handler.WhileLocked {
		return matrix.Session{}, matrix.ErrLocked()
	}
	if who.Suspended && x.route.Handler.Active {
		return matrix.Session{}, matrix.ErrSuspended()
	}
	if who.Guest && needed != AccessGuest && needed != AccessAnyone {
		return matrix.Session{}, ErrGuest
	}
	return who, nil
}

// session returns the session of a token, and has noted that it was used.
func (e *Engine) session(x *exchange) (matrix.Session, error) {
	who, err := e.whose(x)
	if x.service.ID == "" {
		if err == nil {
			e.sessions.Seen(who, x.known())
		}
		return who, err
	}
	x.service.Unlimited = x.service.Unlimited || err == nil && who.UserID == x.service.Sender
	return who, err
}

// whose returns the session of a token: that of a user, or the one that an application
// service asks for by the parameters user_id and device_id. Application Service API,
// "Identity assertion".
func (e *Engine) whose(x *exchange) (matrix.Session, error) {
	if x.service.ID == "" {
		return e.sessions.Authenticate(&x.context, x.token)
	}
	deviceID := cmp.Or(x.query.Get("device_id"), x.query.Get("org.matrix.msc3202.device_id"))
	return e.appServices.ActAs(&x.context, x.service, x.query.Get("user_id"), deviceID)
}

// accessToken returns the token of the Authorization header, or else that of the
// query parameter access_token, which the newest specification has dropped and
// every tutorial uses.
func (x *exchange) accessToken() string {
	const scheme = "Bearer "
	header := x.request.Header.Get("Authorization")
	if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
		return strings.TrimSpace(header[len(scheme):])
	}
	return x.query.Get("access_token")
}

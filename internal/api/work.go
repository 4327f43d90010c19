package api

import (
	"net/http"

	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// work says what calling an endpoint means to the server: how often one caller may,
// and how much of the like may go on at once. Each row of the route table names one.
type work struct {
	kind    ratelimit.Kind // counted besides ratelimit.Requests, which every request is
	load    load
	charged charged
	growth  growth
}

// load is what a request takes up while it is being answered.
type load int

const (
	working      load = iota // the processor and the database, for a moment
	awaiting                 // nothing much, for long: until something happens
	transferring             // a connection, for as long as its other end takes
	nothing                  // so little that it is always answered
)

// charged says what of the kind a request is counted for, and where.
type charged int

const (
	asOne     charged = iota // as one, before it is looked at
	withBody                 // as one, and its body as ratelimit.WrittenBytes
	forEvents                // not here: package rooms counts the events that it makes
)

// growth is whether a request asks for more to be kept for good in the database. What
// does is refused while the disk is nearly full; the rest goes on: reading, logging in
// and out, redacting and removing.
type growth bool

const (
	steady  growth = false
	growing growth = true
)

// The kinds of work, as the route table names them.
var (
	probing           = work{ratelimit.Requests, nothing, asOne, steady}
	reading           = work{ratelimit.Requests, working, asOne, steady}
	polling           = work{ratelimit.Requests, awaiting, asOne, steady}
	sending           = work{ratelimit.Messages, working, forEvents, growing}
	redacting         = work{ratelimit.Messages, working, forEvents, steady}
	creatingRooms     = work{ratelimit.RoomCreation, working, asOne, growing}
	joining           = work{ratelimit.Joins, working, forEvents, growing}
	inviting          = work{ratelimit.Invites, working, forEvents, growing}
	takingBindings    = work{ratelimit.Invites, transferring, forEvents, growing}
	changingProfile   = work{ratelimit.Profile, working, withBody, growing}
	removingProfile   = work{ratelimit.Profile, working, withBody, steady}
	changing          = work{ratelimit.Changes, working, asOne, growing}
	storing           = work{ratelimit.Changes, working, withBody, growing}
	removing          = work{ratelimit.Changes, working, asOne, steady}    // also tokens, by logging out
	renewing          = work{ratelimit.Changes, working, asOne, steady}    // tokens
	filtering         = work{ratelimit.Changes, working, withBody, steady} // few filters, and reading begins with one
	telling           = work{ratelimit.Changes, working, asOne, steady}    // what is known in memory only
	searching         = work{ratelimit.Searches, working, asOne, steady}
	loggingIn         = work{ratelimit.Login, working, asOne, steady}
	makingLoginTokens = work{ratelimit.LoginTokens, working, asOne, steady}
	registering       = work{ratelimit.Registration, working, asOne, growing}
	checkingNames     = work{ratelimit.NameChecks, working, asOne, steady}
	askingForMail     = work{ratelimit.Mails, transferring, asOne, steady}
	enteringCodes     = work{ratelimit.Codes, working, asOne, steady}
	reporting         = work{ratelimit.Reports, working, withBody, growing}
	uploading         = work{ratelimit.Uploads, transferring, asOne, growing}
	downloading       = work{ratelimit.Downloads, transferring, asOne, steady}
	previewing        = work{ratelimit.Previews, transferring, asOne, steady}
)

// caller is whom a request counts for: the user, or the address of who isn't known.
func (x *exchange) caller() string {
	if x.user != "" {
		return x.user
	}
	return ratelimit.AddressKey(x.client)
}

// admit finds out who asks and counts the request. Whoever has a valid token counts
// for himself, so that people behind one address don't get in each other's way.
// Strangers count for their address, and so do tokens that are not valid: once an
// address has asked for too much, a token from there is looked up in memory only,
// since a flood of guesses must not reach the database. M_LIMIT_EXCEEDED, and the
// errors of [API.authenticate]. Section "Rate limiting".
func (a *API) admit(r *http.Request, x *exchange, rt *route) (matrix.Session, error) {
	if rt.handle.access != accessPublic && a.limits.Spent(ratelimit.Requests, x.caller()) && !a.auth.Knows(accessToken(r, x)) {
		if _, err := a.limits.Take(ratelimit.Requests, x.caller()); err != nil {
			return matrix.Session{}, err
		}
	}
	who, refusal := a.authenticate(r, x, rt.handle.access)
	if _, err := a.limits.Take(ratelimit.Requests, x.caller()); err != nil {
		return matrix.Session{}, err
	}
	if refusal != nil {
		return matrix.Session{}, refusal
	}
	if rt.work.kind == ratelimit.Requests || rt.work.charged == forEvents {
		return who, nil
	}
	var err error
	x.counted, err = a.limits.Take(rt.work.kind, x.caller())
	return who, err
}

// chargeBody counts the body of a request that is stored.
func (a *API) chargeBody(x *exchange, rt *route) error {
	if rt.work.charged != withBody || len(x.body) == 0 {
		return nil
	}
	_, err := a.limits.TakeN(ratelimit.WrittenBytes, x.caller(), len(x.body))
	return err
}

// forgive takes back what an error shows to have come to nothing: attempts that
// clients repeat every few seconds until the user has opened a mail.
func (x *exchange) forgive(err error) {
	if matrix.IsCode(err, matrix.ThreepidAuthFailed) {
		x.counted.GiveBack()
	}
}

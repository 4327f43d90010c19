package httpapi

import (
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// Work describes the cost of an endpoint to the server: how often one caller may call
// it, and how much of the same may go on at once. Each row of the route table names
// one.
type Work struct {
	Kind    ratelimit.Kind // counted besides ratelimit.Requests, which every request is
	load    load
	charged charged
	Grows   growth
}

// load is what a request occupies while it is being answered.
type load int

const (
	working      load = iota // the processor and the database, for a moment
	awaiting                 // nothing much, for long: until something happens
	transferring             // a connection, for as long as its other end needs
	nothing                  // so little that it is always answered
)

// charged is the amount that a request is counted for, and the place where it is
// counted.
type charged int

const (
	asOne     charged = iota // as one, before it is looked at
	withBody                 // as one, and its body as ratelimit.WrittenBytes
	forEvents                // not here: package rooms counts the events that it makes
	bySelf                   // not here: the handler counts it, by Request.Charge
)

// growth is whether a request adds data to the database for good. Such requests are
// refused while the disk is nearly full; the rest goes on: reading, logging in and out,
// redacting and removing.
type growth bool

const (
	steady  growth = false
	growing growth = true
)

// The kinds of work, as the route table names them.
var (
	Probing           = Work{ratelimit.Requests, nothing, asOne, steady}
	Reading           = Work{ratelimit.Requests, working, asOne, steady}
	Polling           = Work{ratelimit.Requests, awaiting, asOne, steady}
	Sending           = Work{ratelimit.Messages, working, forEvents, growing}
	Redacting         = Work{ratelimit.Messages, working, forEvents, steady}
	CreatingRooms     = Work{ratelimit.RoomCreation, working, asOne, growing}
	Joining           = Work{ratelimit.Joins, working, forEvents, growing}
	Inviting          = Work{ratelimit.Invites, working, forEvents, growing}
	TakingBindings    = Work{ratelimit.Invites, transferring, forEvents, growing}
	ChangingProfile   = Work{ratelimit.Profile, working, withBody, growing}
	RemovingProfile   = Work{ratelimit.Profile, working, withBody, steady}
	Changing          = Work{ratelimit.Changes, working, asOne, growing}
	Storing           = Work{ratelimit.Changes, working, withBody, growing}
	Removing          = Work{ratelimit.Changes, working, asOne, steady}    // also tokens, by logging out
	PuttingOff        = Work{ratelimit.Changes, working, asOne, steady}    // delayed events
	Renewing          = Work{ratelimit.Changes, working, asOne, steady}    // tokens
	Exchanging        = Work{ratelimit.Requests, working, bySelf, steady}  // grants for tokens
	Filtering         = Work{ratelimit.Changes, working, withBody, steady} // few filters, and reading begins with one
	Telling           = Work{ratelimit.Changes, working, asOne, steady}    // changes of memory only
	Claiming          = Work{ratelimit.Changes, working, asOne, steady}    // one-time keys of others
	Searching         = Work{ratelimit.Searches, working, asOne, steady}
	AskingServices    = Work{ratelimit.Searches, transferring, asOne, steady} // application services
	LoggingIn         = Work{ratelimit.Login, working, asOne, steady}
	AskingProviders   = Work{ratelimit.Login, transferring, asOne, steady} // identity providers
	MakingLoginTokens = Work{ratelimit.LoginTokens, working, asOne, steady}
	Registering       = Work{ratelimit.Registration, working, asOne, growing}
	CheckingNames     = Work{ratelimit.NameChecks, working, asOne, steady}
	AskingForMail     = Work{ratelimit.Mails, transferring, asOne, steady}
	EnteringCodes     = Work{ratelimit.Codes, working, asOne, steady}
	Reporting         = Work{ratelimit.Reports, working, withBody, growing}
	Uploading         = Work{ratelimit.Uploads, transferring, asOne, growing}
	Downloading       = Work{ratelimit.Downloads, transferring, asOne, steady}
	Previewing        = Work{ratelimit.Previews, transferring, asOne, steady}
)

// caller returns the key that a request counts for: the user, or the address without a
// session. An application service that has no limits is one caller, also when it acts as its
// users, so that they all take no more turns than one.
func (x *exchange) caller() string {
	if x.service.Unlimited {
		return "appservice " + x.service.ID
	}
	if x.user != "" {
		return x.user
	}
	if x.client.Is4() {
		return x.address
	}
	return ratelimit.AddressKey(x.client)
}

// admit authenticates and counts the request. A user with a valid token is counted
// alone, so that people behind one address don't affect each other. Strangers are
// counted by their address, and so are tokens that are not valid: once an address is
// over its limit, a token from there is looked up in memory only, since a flood of
// guesses must not reach the database. Users of an application service are counted like
// others, unless the service has no limits. M_LIMIT_EXCEEDED, and the errors of
// [Engine.authenticate]. Section "Rate limiting".
func (e *Engine) admit(x *exchange, rt *Route) (matrix.Session, error) {
	x.token = x.accessToken()
	e.recognize(x, rt.Handler.Access)
	known := x.service.ID != "" || rt.Handler.Access == AccessPublic
	if !known && e.limits.Spent(ratelimit.Requests, x.caller()) && !e.sessions.Knows(x.token) {
		if _, err := e.limits.Take(ratelimit.Requests, x.caller()); err != nil {
			return matrix.Session{}, err
		}
	}
	who, refusal := e.authenticate(x, rt.Handler.Access)
	if rt.Work.charged == bySelf {
		return who, refusal
	}
	if _, err := e.take(x, ratelimit.Requests, 1); err != nil {
		return matrix.Session{}, err
	}
	if refusal != nil {
		return matrix.Session{}, refusal
	}
	if rt.Work.Kind == ratelimit.Requests || rt.Work.charged == forEvents {
		return who, nil
	}
	var err error
	x.counted, err = e.take(x, rt.Work.Kind, 1)
	return who, err
}

// recognize notes the application service whose token the request has. Where tokens are not
// looked at, it is the service itself that asks, which has no limits.
func (e *Engine) recognize(x *exchange, needed Access) {
	if e.appServices != nil && x.token != "" {
		x.service = e.appServices.ByToken(x.token)
		x.service.Unlimited = x.service.Unlimited || x.service.ID != "" && needed == AccessPublic
	}
}

// take counts n of a kind of work, unless no limits hold.
func (e *Engine) take(x *exchange, kind ratelimit.Kind, n int) (*ratelimit.Claim, error) {
	if x.service.Unlimited {
		return nil, nil
	}
	return e.limits.TakeN(kind, x.caller(), n)
}

// chargeBody counts the body of a request that is stored.
func (e *Engine) chargeBody(x *exchange, rt *Route) error {
	if rt.Work.charged != withBody || len(x.body) == 0 {
		return nil
	}
	_, err := e.take(x, ratelimit.WrittenBytes, len(x.body))
	return err
}

// forgive takes back the count of attempts that an error shows to be in vain: those
// that clients repeat every few seconds until the user has opened a mail.
func (x *exchange) forgive(err error) {
	if matrix.IsCode(err, matrix.ThreepidAuthFailed) {
		x.counted.GiveBack()
	}
}

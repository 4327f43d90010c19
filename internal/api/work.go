package api

import (
	"net/http"

	"homeserver/internal/auth"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/ratelimit"
)

// work says what calling an endpoint means to the server: how often one caller may,
// and how much of the like may go on at once. Each row of the route table names one.
type work struct {
	kind ratelimit.Kind // counted besides ratelimit.Requests, which every request is
	load load
}

// load is what a request takes up while it is being answered.
type load int

const (
	working      load = iota // the processor and the database, for a moment
	awaiting                 // nothing much, for long: until something happens
	transferring             // a connection, for as long as its other end takes
	nothing                  // so little that it is always answered
)

// The kinds of work, as the route table names them.
var (
	probing           = work{ratelimit.Requests, nothing}
	reading           = work{ratelimit.Requests, working}
	polling           = work{ratelimit.Requests, awaiting}
	sending           = work{ratelimit.Messages, working}
	creatingRooms     = work{ratelimit.RoomCreation, working}
	joining           = work{ratelimit.Joins, working}
	inviting          = work{ratelimit.Invites, working}
	takingBindings    = work{ratelimit.Invites, transferring}
	changingProfile   = work{ratelimit.Profile, working}
	changing          = work{ratelimit.Changes, working}
	searching         = work{ratelimit.Searches, working}
	loggingIn         = work{ratelimit.Login, working}
	makingLoginTokens = work{ratelimit.LoginTokens, working}
	registering       = work{ratelimit.Registration, working}
	checkingNames     = work{ratelimit.NameChecks, working}
	askingForMail     = work{ratelimit.Mails, transferring}
	enteringCodes     = work{ratelimit.Codes, working}
	reporting         = work{ratelimit.Reports, working}
	uploading         = work{ratelimit.Uploads, transferring}
	downloading       = work{ratelimit.Downloads, transferring}
	previewing        = work{ratelimit.Previews, transferring}
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
func (a *API) admit(r *http.Request, x *exchange, rt *route) (auth.Session, error) {
	if rt.handle.access != accessPublic && a.limits.Spent(ratelimit.Requests, x.caller()) && !a.auth.Knows(accessToken(r, x)) {
		if _, err := a.limits.Take(ratelimit.Requests, x.caller()); err != nil {
			return auth.Session{}, err
		}
	}
	who, refusal := a.authenticate(r, x, rt.handle.access)
	if _, err := a.limits.Take(ratelimit.Requests, x.caller()); err != nil {
		return auth.Session{}, err
	}
	if refusal != nil {
		return auth.Session{}, refusal
	}
	if rt.work.kind == ratelimit.Requests {
		return who, nil
	}
	var err error
	x.counted, err = a.limits.Take(rt.work.kind, x.caller())
	return who, err
}

// countInvites counts invitations: for their sender where that has not happened yet,
// and each for who is invited, so that nobody is buried under them, whoever sends
// them. Those that come to nothing don't count for the invited.
func (a *API) countInvites(x *exchange, forSender int, invited ...string) error {
	if forSender > 0 {
		if _, err := a.limits.TakeN(ratelimit.Invites, x.caller(), forSender); err != nil {
			return err
		}
	}
	for _, userID := range invited {
		if _, _, err := matrix.ParseUserID(userID); err != nil {
			continue // it will be refused, and must not be remembered
		}
		claim, err := a.limits.Take(ratelimit.InvitesToUser, userID)
		if err != nil {
			return err
		}
		x.invites = append(x.invites, claim)
	}
	return nil
}

// countMembership counts a member event that is sent as such for what it is.
func (a *API) countMembership(x *exchange, userID string, content []byte) error {
	switch membership, _ := event.StringField(content, "membership"); membership {
	case "invite":
		return a.countInvites(x, 1, userID)
	case "join", "knock":
		_, err := a.limits.Take(ratelimit.Joins, x.caller())
		return err
	default:
		return nil
	}
}

// forgive takes back what an error shows to have come to nothing: invitations, and
// attempts that clients repeat every few seconds until the user has opened a mail.
func (x *exchange) forgive(err error) {
	for _, claim := range x.invites {
		claim.GiveBack()
	}
	if matrix.IsCode(err, matrix.ThreepidAuthFailed) {
		x.counted.GiveBack()
	}
}

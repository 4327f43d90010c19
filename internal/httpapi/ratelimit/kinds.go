package ratelimit

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/cache"
)

// Kind is a kind of work that has a limit of its own. Its text is the key of the
// limit in the configuration, and the label in the metrics.
type Kind string

// The kinds of work. Unless stated otherwise the caller is counted: the user, or the
// address of a request without an access token.
const (
	// Requests are requests of any kind.
	Requests Kind = "requests"
	// Messages are events made in rooms, other than those below, by any request.
	Messages Kind = "messages"
	// RoomCreation is making a room.
	RoomCreation Kind = "room_creation"
	// Joins are joins and knocks.
	Joins Kind = "joins"
	// Invites are invitations sent.
	Invites Kind = "invites"
	// InvitesToUser are invitations received: the invited user is counted.
	InvitesToUser Kind = "invites_to_user"
	// Profile is a change of a profile.
	Profile Kind = "profile"
	// WrittenBytes are the bytes that are written: events, and the bodies of other
	// changes.
	WrittenBytes Kind = "written_bytes"
	// Changes are other writes, such as receipts, typing and account data.
	Changes Kind = "changes"
	// Searches are searches for messages, people and rooms.
	Searches Kind = "searches"

	// Login is a request that may bring a password or a login token.
	Login Kind = "login"
	// FailedLogin is a wrong password: the account together with the caller is counted,
	// whether it exists or not.
	FailedLogin Kind = "failed_login"
	// FailedLoginAccount is a wrong password from an address that is new to the
	// account: it is counted for the account, for all callers together.
	FailedLoginAccount Kind = "failed_login_account"
	// LoginTokens are tokens made to log in another device.
	LoginTokens Kind = "login_tokens"
	// Registration is a request to make an account, guests' included.
	Registration Kind = "registration"
	// NameChecks are questions whether a user name is free.
	NameChecks Kind = "name_checks"
	// Mails are requests for a mail or a text message.
	Mails Kind = "mails"
	// MailsToAddress are mails and text messages sent: the receiver is counted.
	MailsToAddress Kind = "mails_to_address"
	// Codes are codes from mails and text messages, entered to prove an address.
	Codes Kind = "codes"
	// Reports are reports of content to the operator.
	Reports Kind = "reports"

	// Uploads are files, or URIs for files, in the media repository.
	Uploads Kind = "uploads"
	// Downloads are files and thumbnails taken from it.
	Downloads Kind = "downloads"
	// Thumbnails are thumbnails that have to be made, by the milliseconds that this
	// needs.
	Thumbnails Kind = "thumbnails"
	// Previews are previews of web pages.
	Previews Kind = "previews"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{
		Requests, Messages, RoomCreation, Joins, Invites, InvitesToUser, Profile, WrittenBytes, Changes, Searches,
		Login, FailedLogin, FailedLoginAccount, LoginTokens, Registration, NameChecks, Mails, MailsToAddress, Codes, Reports,
		Uploads, Downloads, Thumbnails, Previews,
	}
}

// Limits are the limits of a server: one Limiter for each kind of work. They may be
// used concurrently. A nil *Limits allows everything.
type Limits struct {
	limiters map[Kind]*Limiter
	buckets  *buckets
	refused  *prometheus.CounterVec
	off      atomic.Bool
}

// NewLimits makes Limits with a clock. A kind without a limit is not limited. share
// bounds the bytes in memory; 0: [cache.UsualShare].
func NewLimits(limits map[Kind]Limit, now func() time.Time, share int) *Limits {
	l := &Limits{
		limiters: make(map[Kind]*Limiter, len(limits)), buckets: newBuckets(share),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_rate_limited_total",
			Help: "What was refused because somebody did too much of it, by kind of work (the keys of rate_limits).",
		}, []string{"kind"}),
	}
	for kind, limit := range limits {
		l.limiters[kind] = New(kind, limit, now, l.buckets)
		l.refused.WithLabelValues(string(kind))
	}
	return l
}

// Switch switches the limits on or off, while they are in use. Made, they are on. What was counted
// before stays.
func (l *Limits) Switch(on bool) { l.off.Store(!on) }

// On reports whether the limits hold.
func (l *Limits) On() bool { return l != nil && !l.off.Load() }

// Spent reports whether Take would refuse the key now.
func (l *Limits) Spent(kind Kind, key string) bool {
	return l.On() && l.limiters[kind].Spent(key)
}

// Take takes one token of a key for a kind of work: see [Limiter.Take].
func (l *Limits) Take(kind Kind, key string) (*Claim, error) { return l.TakeN(kind, key, 1) }

// TakeN takes several tokens of a key for a kind of work at once: see [Limiter.TakeN].
func (l *Limits) TakeN(kind Kind, key string, n int) (*Claim, error) {
	if !l.On() {
		return nil, nil
	}
	claim, err := l.limiters[kind].TakeN(key, n)
	if err != nil {
		l.refused.WithLabelValues(string(kind)).Inc()
	}
	return claim, err
}

// Charge takes tokens of a key for work that has been done already, also those that are
// not there: see [Limiter.Charge].
func (l *Limits) Charge(kind Kind, key string, n int) {
	if l.On() {
		l.limiters[kind].Charge(key, n)
	}
}

// Caches reports the use of the memory of the limits. Nil has none.
func (l *Limits) Caches() cache.Caches {
	if l == nil {
		return nil
	}
	return cache.Caches{"rate_limits": l.buckets.Stats}
}

// Cost is a part of what a piece of work costs: N of a kind, on the account of a key.
type Cost struct {
	Kind Kind
	Key  string
	N    int
}

// TakeAll takes the costs of a piece of work, all or none: see [Limiter.TakeN]. A cost
// without a key is the server's own, and is not counted. It returns a claim for each
// cost, or nil if there are no limits.
func (l *Limits) TakeAll(costs []Cost) (Claims, error) {
	if !l.On() {
		return nil, nil
	}
	claims := make(Claims, 0, len(costs))
	for _, c := range costs {
		if c.Key == "" {
			claims = append(claims, nil)
			continue
		}
		claim, err := l.TakeN(c.Kind, c.Key, c.N)
		if err != nil {
			claims.GiveBack()
			return nil, err
		}
		claims = append(claims, claim)
	}
	return claims, nil
}

// Claims are the tokens that were taken for one piece of work.
type Claims []*Claim

// GiveBack returns all of them, for work that came to nothing.
func (c Claims) GiveBack() {
	for _, claim := range c {
		claim.GiveBack()
	}
}

// Collectors returns the metrics of refusals. Nil has none.
func (l *Limits) Collectors() []prometheus.Collector {
	if l == nil {
		return nil
	}
	return []prometheus.Collector{l.refused}
}

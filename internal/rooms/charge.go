package rooms

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// eventBytes estimates the size of an event in the database, its content left out.
const eventBytes = 600

// charge counts, before anything is done, what the events of some drafts cost the
// context's caller. If that is the server itself, nobody's limits are touched; nothing is
// counted for an application service without limits either. An event counts as a message
// or, by its membership, as an invitation or a join; a knock counts as a join. All of them
// count as bytes written. An invitation counts for its target as well, so that many senders
// together cannot send a user any number of them. The first messages, free in number, cost
// nothing: they were counted before. M_LIMIT_EXCEEDED with RetryAfter. The caller returns the
// claims of what is not done after all.
func (s *Service) charge(ctx context.Context, drafts []draft, free int) (ratelimit.Claims, error) {
	if matrix.AppServiceOf(ctx).Unlimited {
		return nil, nil
	}
	caller := matrix.Caller(ctx)
	var costs []ratelimit.Cost
	counts := map[ratelimit.Kind]int{ratelimit.Messages: -free}
	for i := range drafts {
		d := &drafts[i]
		if d.counted {
			continue
		}
		kind := d.kind()
		counts[kind]++
		counts[ratelimit.WrittenBytes] += eventBytes + len(d.content)
		if kind == ratelimit.Invites && *d.stateKey != caller {
			costs = append(costs, ratelimit.Cost{Kind: ratelimit.InvitesToUser, Key: *d.stateKey, N: 1})
		}
	}
	for kind, n := range counts {
		if n > 0 {
			costs = append(costs, ratelimit.Cost{Kind: kind, Key: caller, N: n})
		}
	}
	return s.limits.TakeAll(costs)
}

// kind returns the kind of work that the event of a draft is.
func (d *draft) kind() ratelimit.Kind {
	if d.typ != event.TypeMember || d.stateKey == nil {
		return ratelimit.Messages
	}
	switch membership, _ := event.StringField(d.content, "membership"); membership {
	case event.Invite:
		return ratelimit.Invites
	case event.Join, event.Knock:
		return ratelimit.Joins
	default:
		return ratelimit.Messages
	}
}

// weight estimates the size of the events of some drafts in the journal.
func weight(drafts []draft) int {
	n := 0
	for i := range drafts {
		n += 2 * (eventBytes + len(drafts[i].content)) // as JSON, and parsed
		if u := drafts[i].upgrade; u != nil {
			n += weight(u.many)
		}
	}
	return n
}

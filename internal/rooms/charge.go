package rooms

import (
	"context"

	"homeserver/internal/event"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// eventBytes is about what an event takes in the database beside its content.
const eventBytes = 600

// charge counts, before anything is done, what the events of some drafts cost the
// context's caller, who may be the server itself: then nobody's limits are touched. An
// event is a message, or what its membership makes it: an invitation, or a join, which
// a knock counts as, too. All of them are bytes that are written. An invitation counts
// for who is invited, too, whoever sends it, so that nobody can be buried under them. So many
// messages are free: they belong to what was counted before. M_LIMIT_EXCEEDED with
// RetryAfter. What comes to nothing is to be given back.
func (s *Service) charge(ctx context.Context, drafts []draft, free int) (ratelimit.Claims, error) {
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

// kind is what kind of work the event of a draft is.
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

// weight is about what the events of some drafts will take in the journal.
func weight(drafts []draft) int {
	n := 0
	for i := range drafts {
		n += 2 * (eventBytes + len(drafts[i].content)) // as JSON, and parsed
	}
	return n
}

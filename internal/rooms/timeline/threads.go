package timeline

import (
	"context"
	"strconv"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
)

// ThreadsPage is a request for a part of the threads of a room, the one with the latest
// reply first.
type ThreadsPage struct {
	// Participated asks only for those whose root, or a reply in which, the reader has sent.
	Participated bool
	// From is where the page begins; nil: with the latest.
	From  *ThreadsToken
	Limit int
	// Ignored are users whom the reader ignores: threads of their replies alone are not
	// there.
	Ignored []string
}

// ThreadsToken is a point in a listing of threads. A page that begins there is in the order
// that the listing began with: threads with newer replies neither come again nor are
// passed over.
type ThreadsToken struct {
	// UpTo is the last place at which the latest reply of the next thread may stand.
	UpTo Place
	// AsOf is the place up to which replies count: that of the beginning of the listing.
	AsOf Place
}

// String writes the token that clients get: t<UpTo>_<AsOf>.
func (t ThreadsToken) String() string {
	return "t" + strconv.FormatInt(int64(t.UpTo), 10) + "_" + strconv.FormatInt(int64(t.AsOf), 10)
}

// ParseThreadsToken reads a token: M_INVALID_PARAM for a text that this server never
// writes. It may be that of another process, whose position is yet to be reached here.
func ParseThreadsToken(text string) (*ThreadsToken, error) {
	upTo, asOf, _ := strings.Cut(strings.TrimPrefix(text, "t"), "_")
	u, errU := strconv.ParseInt(upTo, 10, 64)
	a, errA := strconv.ParseInt(asOf, 10, 64)
	t := &ThreadsToken{Place(u), Place(a)}
	if errU != nil || errA != nil || u < 0 || a < u || t.String() != text {
		return nil, matrix.Errorf(matrix.InvalidParam, "this is not a token of a list of threads")
	}
	return t, nil
}

// Position returns the position that must be known for going on from the token.
func (t *ThreadsToken) Position() journal.Position { return t.AsOf.Position() }

// Threads is a page of the threads of a room.
type Threads struct {
	// Roots are in the order of the latest replies, the latest first.
	Roots []*Event
	// Next is where the next page begins; nil: there is none.
	Next   *ThreadsToken
	Access *Access
}

// Threads returns a page of the threads of a room whose roots the user may see, of MaxLimit
// at most and fewer where they are large, by the latest replies that the user may see.
// M_FORBIDDEN for a user who may see nothing of the room. Client-server API, GET
// /rooms/{roomId}/threads.
func (r Reader) Threads(ctx context.Context, roomID string, p ThreadsPage) (*Threads, error) {
	v, err := r.view(ctx, roomID)
	if err != nil {
		return nil, err
	}
	if !v.access.SeesAny() {
		return nil, ErrNotInRoom()
	}
	if p.From == nil {
		p.From = &ThreadsToken{v.now, v.now}
	}
	p.Limit = max(1, min(p.Limit, MaxLimit))
	page := &Threads{Access: v.access, Roots: []*Event{}}
	ranges := v.access.Ranges(0, p.From.AsOf)
	if len(ranges) == 0 {
		return page, nil
	}
	return page, r.store.readThreads(ctx, page, v, r.userID, &p, ranges)
}

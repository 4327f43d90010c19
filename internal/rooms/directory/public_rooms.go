package directory

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/reserve"
	"homeserver/internal/text"
)

// The number of rooms in one page of the directory, where the request does not
// say, and at most.
const (
	defaultPublicRooms = 100
	maxPublicRooms     = 500
)

// maxFilteredRooms is the number of rooms, the largest first, in which a filter
// searches.
const maxFilteredRooms = 10_000

// PublicQuery asks for a page of the directory.
type PublicQuery struct {
	// Limit is how many rooms are wanted, 500 at most; 0: 100.
	Limit int
	// Since is next_batch or prev_batch of another page; "": the first page.
	Since string
	// Term must be in the name, the topic or an alias, whatever its case and
	// accents; "": any room.
	Term string
	// RoomTypes are the only types of rooms that are wanted, nil or "" for those
	// that have none; a nil slice: all.
	RoomTypes []*string
	// Network asks for the rooms of one third-party network; the zero value: for those of
	// this server. AllNetworks asks for all rooms of both kinds.
	Network     Network
	AllNetworks bool
}

// PublicPage is a page of the directory. The tokens are "" where there is no
// further page.
type PublicPage struct {
	Chunk     []*RoomSummary `json:"chunk"`
	NextBatch string         `json:"next_batch,omitempty"`
	PrevBatch string         `json:"prev_batch,omitempty"`
	Total     int64          `json:"total_room_count_estimate"`
}

// PublicRooms lists the published rooms in which there is anybody, the largest
// first. Anybody may ask. M_INVALID_PARAM for a limit below 0 or a token that is
// none. Client-server API, GET and POST /publicRooms.
func (s *Service) PublicRooms(ctx context.Context, q PublicQuery) (*PublicPage, error) {
	if q.Limit < 0 {
		return nil, matrix.Errorf(matrix.InvalidParam, "limit must not be negative")
	}
	if q.Limit == 0 {
		q.Limit = defaultPublicRooms
	}
	q.Limit = min(q.Limit, maxPublicRooms)
	from, err := parsePlace(q.Since)
	if err != nil {
		return nil, err
	}
	var f *found
	err = reserve.Read(ctx, func(c *reserve.Counter) error {
		f = &found{counter: c, limit: q.Limit, room: reserve.Bytes(ctx)}
		if strings.TrimSpace(q.Term) == "" && text.Folded(q.Term) == "" && q.RoomTypes == nil {
			return s.listedRooms(ctx, q, from, q.Limit+1, func(r *RoomSummary, total int64) error {
				f.total = total
				return f.add(r)
			})
		}
		f.keepsLast = from != nil && from.backward
		return s.listedRooms(ctx, q, nil, maxFilteredRooms, func(r *RoomSummary, _ int64) error {
			if !q.matches(r) {
				return nil
			}
			if f.total++; from != nil && !from.beyond(r) {
				return nil
			}
			return f.add(r)
		})
	})
	if err != nil {
		return nil, err
	}
	if f.keepsLast {
		slices.Reverse(f.rooms)
	}
	return from.page(f), nil
}

// found is the rooms of a page as they are read: as many as it may have, and as have room
// in memory; one in any case.
type found struct {
	rooms     []*RoomSummary
	total     int64
	more      bool // than the rooms
	keepsLast bool // and not the first

	counter *reserve.Counter
	limit   int
	room    int64 // bytes that are left
}

func (f *found) add(r *RoomSummary) error {
	cost := r.Cost()
	if !f.keepsLast {
		if f.more = f.more || len(f.rooms) == f.limit || len(f.rooms) > 0 && f.room < int64(cost); f.more {
			return nil
		}
	}
	f.rooms, f.room = append(f.rooms, r), f.room-int64(cost)
	if err := f.counter.Add(cost); err != nil {
		return err
	}
	for len(f.rooms) > f.limit || len(f.rooms) > 1 && f.room < 0 {
		first := f.rooms[0].Cost()
		f.rooms, f.room, f.more = f.rooms[1:], f.room+int64(first), true
		if err := f.counter.Add(-first); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether a room passes the filter.
func (q *PublicQuery) matches(r *RoomSummary) bool {
	if q.RoomTypes != nil && !slices.ContainsFunc(q.RoomTypes, func(t *string) bool {
		return t == nil && r.RoomType == "" || t != nil && *t == r.RoomType
	}) {
		return false
	}
	term := text.Fold(strings.TrimSpace(q.Term))
	texts := append([]string{r.Name, r.Topic, r.CanonicalAlias}, r.Aliases...)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(text.Fold(s), term) })
}

// place is a place between the rooms of the directory, from which a page is read.
type place struct {
	backward bool
	joined   int64
	nid      journal.RoomNID
}

// parsePlace reads a token; nil for none.
func parsePlace(token string) (*place, error) {
	if token == "" {
		return nil, nil
	}
	p := &place{backward: token[0] == 'p'}
	joined, nid, _ := strings.Cut(token[1:], "_")
	var errs [2]error
	var n int64
	p.joined, errs[0] = strconv.ParseInt(joined, 10, 64)
	n, errs[1] = strconv.ParseInt(nid, 10, 64)
	p.nid = journal.RoomNID(n)
	if errs[0] != nil || errs[1] != nil || p.String() != token {
		return nil, matrix.Errorf(matrix.InvalidParam, "since is not a token of this server")
	}
	return p, nil
}

// String returns the token.
func (p *place) String() string {
	direction := "n"
	if p.backward {
		direction = "p"
	}
	return fmt.Sprintf("%s%d_%d", direction, p.joined, p.nid)
}

func placeOf(r *RoomSummary, backward bool) string {
	return (&place{backward, r.Joined, r.nid}).String()
}

// beyond reports whether a room lies behind the place, in its direction.
func (p *place) beyond(r *RoomSummary) bool {
	if r.Joined == p.joined {
		return r.nid != p.nid && (r.nid < p.nid) == p.backward
	}
	return (r.Joined > p.joined) == p.backward
}

// page makes a page of the rooms found in the direction of the place.
func (p *place) page(f *found) *PublicPage {
	page := &PublicPage{Chunk: f.rooms, Total: f.total}
	backward := p != nil && p.backward
	if backward {
		slices.Reverse(page.Chunk)
	}
	if len(page.Chunk) == 0 {
		page.Chunk = []*RoomSummary{}
		return page
	}
	if f.more || backward {
		page.NextBatch = placeOf(page.Chunk[len(page.Chunk)-1], false)
	}
	if p != nil && (f.more || !backward) {
		page.PrevBatch = placeOf(page.Chunk[0], true)
	}
	return page
}

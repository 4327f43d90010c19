package spaces

import (
	"context"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// UsualLimit is the number of rooms on a page, where the request does not say; maxLimit
// is what it may ask for at most.
const (
	UsualLimit = 50
	maxLimit   = 100
)

// Query asks for a page of the tree of a space.
type Query struct {
	UserID, RoomID string
	// Limit is how many rooms are wanted: 100 at most, and 1 at least.
	Limit int
	// Depth is how many levels below the room are wanted: [MaxDepth] at most.
	Depth int
	// Suggested leaves out rooms that are not suggested by the space that they are in.
	Suggested bool
	// From is next_batch of another page; "": the first page.
	From string
}

// errHidden is the same whether the room is there or not.
func errHidden() error { return matrix.Errorf(matrix.Forbidden, "you may not see this room") }

// Hierarchy returns a page of the tree of a space, depth first: rooms that the user may
// know of, each once, as of now; those that were in the tree when the first page was read.
// M_INVALID_PARAM for parameters that are none, or that differ from those of the page before;
// M_FORBIDDEN if the user may not know of the room, also if there is none. Client-server
// API, GET /rooms/{roomId}/hierarchy.
func (s *Service) Hierarchy(ctx context.Context, q Query) (*Page, error) {
	t, limit, err := s.start(&q)
	if err != nil {
		return nil, err
	}
	w := newWalk(view{rooms: s.rooms, userID: q.UserID, at: t.place()}, q.RoomID, t.depth, t.suggested)
	var rest []*node
	for full := false; !full; full = full || w.done() {
		if err := w.next(ctx); err != nil {
			return nil, err
		}
		root := w.nodes[q.RoomID]
		if !root.isShown() || t.root != 0 && t.root != root.Room {
			return nil, errHidden()
		}
		t.root = root.Room
		var found bool
		rest, found = t.follow(w.list(), len(t.last) == 0 || w.done())
		full = found && len(rest) > limit
	}
	return s.page(ctx, w, t, rest, limit)
}

// start checks a query. It returns the token with which the page begins, also of the first
// page, and how many rooms are wanted.
func (s *Service) start(q *Query) (t *token, limit int, err error) {
	if !matrix.IsRoomID(q.RoomID) {
		return nil, 0, matrix.Errorf(matrix.InvalidParam, "this is not a room ID")
	}
	limit = min(q.Limit, maxLimit)
	depth := min(q.Depth, MaxDepth)
	switch {
	case limit <= 0:
		return nil, 0, matrix.Errorf(matrix.InvalidParam, "limit must be greater than 0")
	case depth < 0:
		return nil, 0, matrix.Errorf(matrix.InvalidParam, "max_depth must not be negative")
	case q.From == "":
		return &token{at: s.rooms.Position(), depth: depth, suggested: q.Suggested}, limit, nil
	}
	t, err = parseToken(q.From)
	if err == nil && (t.depth != depth || t.suggested != q.Suggested) {
		err = matrix.Errorf(matrix.InvalidParam, "suggested_only and max_depth cannot change from one page to the next")
	}
	return t, limit, err
}

// page makes a page of the rooms that follow.
func (s *Service) page(ctx context.Context, w *walk, t *token, rest []*node, limit int) (*Page, error) {
	nodes := rest[:min(limit, len(rest))]
	roomIDs := []string{w.root}
	for _, n := range nodes {
		roomIDs = append(roomIDs, n.RoomID)
	}
	now := view{rooms: s.rooms, userID: w.userID, at: timeline.Latest}
	previews, err := now.previews(ctx, roomIDs)
	if err != nil {
		return nil, err
	}
	byNumber := make(map[journal.RoomNID]*timeline.Preview, len(previews))
	for i := range previews {
		if p := &previews[i]; now.mayKnow(p) {
			byNumber[p.Room] = p
		}
	}
	if byNumber[t.root] == nil {
		return nil, errHidden()
	}
	p := &Page{store: s.rooms}
	shown, err := p.add(ctx, s, nodes, byNumber)
	if err != nil {
		return nil, err
	}
	if shown < len(rest) || !w.done() {
		p.next = t.after(nodes[:shown])
	}
	return p, nil
}

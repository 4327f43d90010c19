package spaces

import (
	"cmp"
	"context"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

const (
	// MaxDepth is how many levels below its root a tree is walked, if the request does not
	// ask for fewer.
	MaxDepth = 20
	// maxChildren is how many children of all spaces together one walk looks at.
	maxChildren = 10_000
)

// walk goes through the tree of a space as it is at one place, level by level, and lists
// its rooms depth first.
type walk struct {
	view
	root      string
	depth     int
	suggested bool

	nodes map[string]*node
	// pending are the rooms of the next level, which is as many levels below the root.
	pending []string
	level   int
	left    int // of maxChildren
}

// node is a room of the tree.
type node struct {
	timeline.Preview
	children []timeline.SpaceChild // in their order; nil: none, or not read
	read     bool                  // whether the children were read
}

// isShown reports whether the room is one that is here and shown to the user.
func (n *node) isShown() bool { return n != nil && n.RoomID != "" }

func newWalk(v view, root string, depth int, suggested bool) *walk {
	return &walk{view: v, root: root, depth: depth, suggested: suggested, nodes: map[string]*node{}, pending: []string{root}, left: maxChildren}
}

// done reports whether all has been read.
func (w *walk) done() bool { return len(w.pending) == 0 }

// next reads the next level.
func (w *walk) next(ctx context.Context) error {
	for _, roomID := range w.pending {
		w.nodes[roomID] = &node{}
	}
	found, err := w.previews(ctx, w.pending)
	if err != nil {
		return err
	}
	w.pending = nil
	byNumber := map[journal.RoomNID]*node{}
	var spaces []journal.RoomNID
	for i := range found {
		p := &found[i]
		if !w.mayKnow(p) {
			continue
		}
		n := w.nodes[p.RoomID]
		n.Preview = *p
		if p.Type == event.RoomTypeSpace {
			spaces, byNumber[p.Room] = append(spaces, p.Room), n
		}
	}
	if len(spaces) > 0 {
		err = w.readChildren(ctx, spaces, byNumber)
	}
	w.level++
	return err
}

// readChildren reads the children of the spaces of a level. Those on the last level are
// read as well, since they are shown with the space.
func (w *walk) readChildren(ctx context.Context, spaces []journal.RoomNID, byNumber map[journal.RoomNID]*node) error {
	children, err := w.rooms.SpaceChildren(ctx, spaces, w.at, w.left)
	if err != nil {
		return err
	}
	w.left -= len(children)
	for _, n := range byNumber {
		n.read = true
	}
	for _, c := range children {
		if w.suggested && !c.Suggested {
			continue
		}
		n := byNumber[c.Space]
		n.children = append(n.children, c)
		if w.nodes[c.RoomID] == nil && w.level < w.depth {
			w.nodes[c.RoomID] = unread
			w.pending = append(w.pending, c.RoomID)
		}
	}
	for _, n := range byNumber {
		slices.SortFunc(n.children, compareChildren)
	}
	return nil
}

// unread stands for a room of the next level.
var unread = &node{}

// compareChildren orders the children of a space: client-server API, "Ordering of
// children within a space".
func compareChildren(a, b timeline.SpaceChild) int {
	if (a.Order == "") != (b.Order == "") {
		return cmp.Compare(b.Order, a.Order) // those without come last
	}
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Time, b.Time), cmp.Compare(a.RoomID, b.RoomID))
}

// list returns the rooms of the tree depth first, each once: up to the first that was
// not read yet.
func (w *walk) list() []*node {
	l := lister{walk: w, seen: map[*node]bool{}}
	l.add(w.root, 0)
	return l.nodes
}

// lister lists the rooms of a tree.
type lister struct {
	*walk
	nodes []*node
	seen  map[*node]bool
}

// add lists a room and the tree below it, and reports whether all of it was read.
func (l *lister) add(roomID string, level int) bool {
	n := l.walk.nodes[roomID]
	if n == unread {
		return false
	}
	if !n.isShown() || l.seen[n] {
		return true
	}
	l.seen[n] = true
	l.nodes = append(l.nodes, n)
	if level == l.depth {
		return true
	}
	for i := range n.children {
		if !l.add(n.children[i].RoomID, level+1) {
			return false
		}
	}
	return true
}

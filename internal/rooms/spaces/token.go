package spaces

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// token is where a page of a tree ends: the place of all rooms at which the tree is
// walked, the parameters of the first page, and the root with the last rooms that were
// shown. The last room alone would do, if none could vanish: a redaction of its
// m.space.child event takes a room out of the tree also as it was.
type token struct {
	at        journal.Position
	depth     int
	suggested bool
	root      journal.RoomNID
	last      []journal.RoomNID // the last of all comes first
}

// lastRooms is how many rooms a token names at most.
const lastRooms = 6

func (t *token) String() string {
	suggested := "a"
	if t.suggested {
		suggested = "s"
	}
	text := fmt.Sprintf("%d%s%d_%d", t.at, suggested, t.depth, t.root)
	for _, room := range t.last {
		text += fmt.Sprintf("_%d", room)
	}
	return text
}

// parseToken reads a token: M_INVALID_PARAM where it is none.
func parseToken(text string) (*token, error) {
	parts := strings.Split(text, "_")
	t := &token{suggested: strings.Contains(parts[0], "s")}
	position, depth, _ := strings.Cut(strings.Replace(parts[0], "s", "a", 1), "a")
	at, err := strconv.ParseInt(position, 10, 64)
	t.at = journal.Position(at)
	if err == nil {
		t.depth, err = strconv.Atoi(depth)
	}
	var numbers []journal.RoomNID
	for i := 1; i < len(parts) && err == nil; i++ {
		var n int64
		n, err = strconv.ParseInt(parts[i], 10, 64)
		numbers = append(numbers, journal.RoomNID(n))
	}
	if len(numbers) > 1 {
		t.root, t.last = numbers[0], numbers[1:]
	}
	if err != nil || len(t.last) == 0 || len(t.last) > lastRooms || t.String() != text || t.at < 0 || t.at > math.MaxInt64>>11 {
		return nil, matrix.Errorf(matrix.InvalidParam, "from is not a token of this server")
	}
	return t, nil
}

// follow returns the rooms of a list after those that were shown, and false if it does not
// have the last one. Where that has vanished, other is whether to go on after another.
func (t *token) follow(list []*node, other bool) ([]*node, bool) {
	for _, room := range t.last {
		for i, n := range list {
			if n.Room == room {
				return list[i+1:], true
			}
		}
		if !other {
			return nil, false
		}
	}
	return list, other // all have vanished: what was shown comes once more, and nothing is left out
}

// place returns the place at which the tree is walked.
func (t *token) place() timeline.Place { return timeline.PlaceOf(t.at) }

// after returns the token of the page that follows one with some rooms.
func (t *token) after(shown []*node) string {
	next := *t
	next.last = nil
	for i := len(shown) - 1; i >= 0 && len(next.last) < lastRooms; i-- {
		next.last = append(next.last, shown[i].Room)
	}
	return next.String()
}

package spaces

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/directory"
	"homeserver/internal/rooms/timeline"
)

// Page is a page of the tree of a space. It writes itself, and reads the events of the
// children meanwhile.
type Page struct {
	store *timeline.Store
	rooms []pageRoom
	next  string
	// children are those of the rooms, by their index on the page.
	children *reserve.Parts[int, childState]
}

// pageRoom is a room on a page.
type pageRoom struct {
	summary
	children []timeline.SpaceChild
}

// childState is an m.space.child event.
type childState struct {
	timeline.SpaceChild
	timeline.Said
}

// add adds the first of some rooms, without those that are not among the previews as of
// now. It returns how many it has dealt with: a page has as many as one read may bring.
func (p *Page) add(ctx context.Context, s *Service, nodes []*node, now map[journal.RoomNID]*timeline.Preview) (done int, err error) {
	var numbers []journal.RoomNID
	for _, n := range nodes {
		if now[n.Room] != nil {
			numbers = append(numbers, n.Room)
		}
	}
	summaries, more, err := s.directory.Summaries(ctx, numbers)
	if err != nil {
		return 0, err
	}
	byNumber := make(map[journal.RoomNID]directory.RoomSummary, len(summaries))
	for _, r := range summaries {
		byNumber[r.Number()] = r
	}
	for _, n := range nodes {
		if now[n.Room] != nil {
			r, read := byNumber[n.Room]
			if !read && more && len(byNumber) == 0 {
				break
			}
			if read {
				p.rooms = append(p.rooms, pageRoom{summary{r, now[n.Room].Allowed}, n.children})
				delete(byNumber, n.Room)
			}
		}
		done++
	}
	return done, p.divide(ctx)
}

// divide divides the events of the children into parts that are read at once.
func (p *Page) divide(ctx context.Context) error {
	var numbers []timeline.EventNID
	for i := range p.rooms {
		for _, c := range p.rooms[i].children {
			numbers = append(numbers, c.NID)
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	sizes, err := p.store.EventSizes(ctx, numbers)
	if err != nil {
		return err
	}
	var stretches []reserve.Stretch[int]
	for i := range p.rooms {
		st := reserve.Stretch[int]{Key: i}
		for _, c := range p.rooms[i].children {
			if st.Cost > reserve.PartCost/2 {
				stretches = append(stretches, st)
				st = reserve.Stretch[int]{Key: i, After: st.UpTo, UpTo: st.UpTo}
			}
			const beside = 200
			st.UpTo, st.Cost = st.UpTo+1, st.Cost+int64(2*sizes[c.NID]+beside)
		}
		if st.UpTo > st.After {
			stretches = append(stretches, st)
		}
	}
	p.children, err = reserve.NewParts(ctx, stretches, p.read)
	return err
}

// read reads a part of the children.
func (p *Page) read(ctx context.Context, part []reserve.Stretch[int]) (map[int][]childState, error) {
	var numbers []timeline.EventNID
	for _, st := range part {
		for _, c := range p.rooms[st.Key].children[st.After:st.UpTo] {
			numbers = append(numbers, c.NID)
		}
	}
	contents, err := p.store.Contents(ctx, numbers)
	if err != nil {
		return nil, err
	}
	states := make(map[int][]childState, len(part))
	for _, st := range part {
		for _, c := range p.rooms[st.Key].children[st.After:st.UpTo] {
			if said, found := contents[c.NID]; found {
				states[st.Key] = append(states[st.Key], childState{c, said})
			}
		}
	}
	return states, nil
}

// WriteJSON writes the page.
func (p *Page) WriteJSON(ctx context.Context, w *reserve.Writer) error {
	w.B = append(w.B, `{"rooms":[`...)
	for i := range p.rooms {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		if err := p.writeRoom(ctx, w, i); err != nil {
			return err
		}
	}
	w.B = append(w.B, ']')
	if p.next != "" {
		w.B = event.AppendString(append(w.B, `,"next_batch":`...), p.next)
	}
	w.B = append(w.B, '}')
	return nil
}

func (p *Page) writeRoom(ctx context.Context, w *reserve.Writer, i int) error {
	summary, err := json.Marshal(p.rooms[i].summary)
	if err != nil {
		return fmt.Errorf("encode the summary of a room: %w", err)
	}
	w.B = append(append(w.B, summary[:len(summary)-1]...), `,"children_state":[`...)
	first := true
	for states, err := range p.children.Of(ctx, i) {
		if err != nil {
			return err //nolint:wrapcheck // it becomes the answer
		}
		for j := range states {
			if !first {
				w.B = append(w.B, ',')
			}
			first = false
			w.B = states[j].appendJSON(w.B)
			if err := w.Pass(); err != nil {
				return err //nolint:wrapcheck // it is the connection's own
			}
		}
	}
	w.B = append(w.B, "]}"...)
	return nil
}

// appendJSON appends the event as stripped state with its time.
func (c *childState) appendJSON(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), c.Content...)
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), c.Time, 10)
	dst = event.AppendString(append(dst, `,"sender":`...), c.Sender)
	dst = event.AppendString(append(dst, `,"state_key":`...), c.RoomID)
	return append(dst, `,"type":"m.space.child"}`...)
}

package syncstream

import (
	"context"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// roomFacts keeps the facts of rooms that lists are sorted and filtered by. They follow the journal.
type roomFacts struct {
	rooms *timeline.Store
	known *cache.Cache[journal.RoomNID, timeline.Facts]
}

func newRoomFacts(rooms *timeline.Store, share int) *roomFacts {
	const fixed = 64
	return &roomFacts{rooms: rooms, known: cache.New(share, func(_ journal.RoomNID, f *timeline.Facts) int {
		if f == nil {
			return fixed
		}
		return fixed + cache.Text(f.Type)
	})}
}

// of returns the facts of the rooms of a viewer, in their order: those that are not in memory are read
// in one statement.
func (fs *roomFacts) of(ctx context.Context, rooms []*standing) ([]*timeline.Facts, error) {
	list := make([]*timeline.Facts, len(rooms))
	places := map[journal.RoomNID]cache.Place[journal.RoomNID, timeline.Facts]{}
	index := map[journal.RoomNID]int{}
	var missing []journal.RoomNID
	for i, st := range rooms {
		if list[i] = fs.known.Known(st.Room); list[i] == nil {
			missing = append(missing, st.Room)
			places[st.Room], index[st.Room] = fs.known.Place(st.Room), i
		}
	}
	if len(missing) == 0 {
		return list, nil
	}
	found, err := fs.rooms.Facts(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i := range found {
		places[found[i].Room].Store(&found[i])
		list[index[found[i].Room]] = &found[i]
	}
	return list, nil
}

// committed brings facts up to date. It runs inside the journal.
func (fs *roomFacts) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		c := timeline.ChangeOf(entry)
		if c.Room == 0 {
			continue
		}
		fs.known.Change(c.Room, func(old *timeline.Facts) *timeline.Facts {
			next := *old
			next.Newest = max(next.Newest, c.Place)
			for at := range c.Line {
				next.Encrypted = next.Encrypted || at.Type == event.TypeEncryption && at.Key == ""
			}
			return &next
		})
	}
}

package receipts

import (
	"context"
	"maps"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/rooms/timeline"
)

// Marks returns how far a user has read rooms, by receipts public or private. In the
// usual case it takes no SQL. The marks must not be written to.
func (s *Service) Marks(ctx context.Context, userID string, rooms []journal.RoomNID) (map[journal.RoomNID]timeline.ReadMarks, error) {
	found := make(map[journal.RoomNID]timeline.ReadMarks, len(rooms))
	var missing map[journal.RoomNID]cache.Place[place, timeline.ReadMarks]
	for _, nid := range rooms {
		at := s.marks.Place(place{userID, nid})
		if known := at.Load(); known != nil {
			found[nid] = *known
			continue
		}
		if missing == nil {
			missing = map[journal.RoomNID]cache.Place[place, timeline.ReadMarks]{}
		}
		missing[nid] = at
	}
	if len(missing) == 0 {
		return found, nil
	}
	read, err := s.loadMarks(ctx, userID, slices.Collect(maps.Keys(missing)))
	if err != nil {
		return nil, err
	}
	for nid, at := range missing {
		marks := read[nid]
		if len(marks.Threads) <= keptThreads {
			at.Store(&marks)
		}
		found[nid] = marks
	}
	return found, nil
}

// weighMarks estimates the bytes of a user's marks of a room in memory.
func weighMarks(at place, marks *timeline.ReadMarks) int {
	const structs, aMap, inMap = 100, 250, 48
	bytes := structs + cache.Text(at.user)
	if marks != nil && marks.Threads != nil {
		bytes += aMap
		for thread := range marks.Threads {
			bytes += inMap + cache.Text(thread)
		}
	}
	return bytes
}

// committed moves the marks on. It runs inside the journal.
func (s *Service) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if r, ok := entry.Value.(*Receipt); ok {
			s.marks.Change(place{r.UserID, r.Room}, func(old *timeline.ReadMarks) *timeline.ReadMarks { return moved(old, r) })
		}
	}
}

// moved returns the marks with one more receipt; nil: there are too many to keep.
func moved(old *timeline.ReadMarks, r *Receipt) *timeline.ReadMarks {
	marks := *old
	switch r.ThreadID {
	case "":
		marks.Unthreaded = max(marks.Unthreaded, r.EventPlace)
	case MainThread:
		marks.Main = max(marks.Main, r.EventPlace)
	default:
		threads := maps.Clone(marks.Threads)
		if threads == nil {
			threads = map[string]timeline.Place{}
		}
		threads[r.ThreadID] = max(threads[r.ThreadID], r.EventPlace)
		if len(threads) > keptThreads {
			return nil
		}
		marks.Threads = threads
	}
	return &marks
}

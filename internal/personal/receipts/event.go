package receipts

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"homeserver/internal/event"
)

// AppendEvents writes receipts of one room as the m.receipt events that clients see,
// separated by commas: one for each thread, as one event can name a user but once.
// Of several of one kind it shows the furthest. It sorts the list.
func AppendEvents(dst []byte, list []*Receipt) []byte {
	slices.SortFunc(list, func(a, b *Receipt) int {
		return cmp.Or(a.compareKind(b), cmp.Compare(b.EventPlace, a.EventPlace))
	})
	list = slices.CompactFunc(list, func(a, b *Receipt) bool { return a.compareKind(b) == 0 })
	slices.SortStableFunc(list, func(a, b *Receipt) int {
		return cmp.Or(cmp.Compare(a.ThreadID, b.ThreadID), cmp.Compare(a.EventPlace, b.EventPlace))
	})
	for first := true; len(list) > 0; first = false {
		n := runOf(list, func(a, b *Receipt) bool { return a.ThreadID == b.ThreadID })
		if !first {
			dst = append(dst, ',')
		}
		dst = appendThread(dst, list[:n])
		list = list[n:]
	}
	return dst
}

// AppendEventsIn writes the same with the ID of the room in each event.
func AppendEventsIn(dst []byte, roomID string, list []*Receipt) []byte {
	byThread := map[string][]*Receipt{}
	for _, r := range list {
		byThread[r.ThreadID] = append(byThread[r.ThreadID], r)
	}
	for i, thread := range slices.Sorted(maps.Keys(byThread)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AddRoomID(AppendEvents(dst, byThread[thread]), roomID)
	}
	return dst
}

// AppendEvent writes receipts of one room as one event, as sliding sync has them: MSC3960. Where a
// user has read several threads up to the same event, it shows the receipt of the room as a whole
// or, if there is none, one of them. It sorts the list.
func AppendEvent(dst []byte, list []*Receipt) []byte {
	slices.SortFunc(list, func(a, b *Receipt) int {
		return cmp.Or(a.compareKind(b), cmp.Compare(b.EventPlace, a.EventPlace))
	})
	list = slices.CompactFunc(list, func(a, b *Receipt) bool { return a.compareKind(b) == 0 })
	compare := func(a, b *Receipt) int {
		return cmp.Or(cmp.Compare(a.EventPlace, b.EventPlace), cmp.Compare(a.EventID, b.EventID), cmp.Compare(a.Type, b.Type), cmp.Compare(a.UserID, b.UserID))
	}
	slices.SortStableFunc(list, compare) // those of the whole room first
	list = slices.CompactFunc(list, func(a, b *Receipt) bool { return compare(a, b) == 0 })
	return appendThread(dst, list)
}

// compareKind compares the keys of receipts: a user has one of each.
func (r *Receipt) compareKind(other *Receipt) int {
	return cmp.Or(cmp.Compare(r.ThreadID, other.ThreadID), cmp.Compare(r.Type, other.Type), cmp.Compare(r.UserID, other.UserID))
}

// runOf counts how many at the beginning of a list are like the first.
func runOf(list []*Receipt, alike func(a, b *Receipt) bool) int {
	n := 1
	for n < len(list) && alike(list[0], list[n]) {
		n++
	}
	return n
}

// appendThread writes the receipts of one thread, by event, type and user.
func appendThread(dst []byte, list []*Receipt) []byte {
	dst = append(dst, `{"content":{`...)
	for first := true; len(list) > 0; first = false {
		n := runOf(list, func(a, b *Receipt) bool { return a.EventID == b.EventID })
		if !first {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, list[0].EventID), ':')
		dst = appendTypes(dst, list[:n])
		list = list[n:]
	}
	return append(dst, `},"type":"m.receipt"}`...)
}

func appendTypes(dst []byte, list []*Receipt) []byte {
	open := byte('{')
	for len(list) > 0 {
		n := runOf(list, func(a, b *Receipt) bool { return a.Type == b.Type })
		dst = append(event.AppendString(append(dst, open), list[0].Type), ':')
		open = ','
		dst = appendUsers(dst, list[:n])
		list = list[n:]
	}
	return append(dst, '}')
}

func appendUsers(dst []byte, list []*Receipt) []byte {
	open := byte('{')
	for _, r := range list {
		dst = append(event.AppendString(append(dst, open), r.UserID), `:{`...)
		open = ','
		if r.ThreadID != "" {
			dst = event.AppendString(append(dst, `"thread_id":`...), r.ThreadID)
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `"ts":`...), r.TS, 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

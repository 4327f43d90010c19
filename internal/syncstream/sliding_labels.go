package syncstream

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"homeserver/internal/cache"
	"homeserver/internal/journal"
	"homeserver/internal/personal/accountdata"
)

// labels is what a user has noted of rooms: which are for direct messages, and their tags.
type labels struct {
	direct map[string]bool // by room IDs
	tags   map[journal.RoomNID][]string
}

// tagsOf returns the tags of a room.
func (l *labels) tagsOf(room journal.RoomNID) []string {
	if l == nil {
		return nil
	}
	return l.tags[room]
}

// isDirect reports whether a room is for direct messages.
func (l *labels) isDirect(roomID string) bool { return l != nil && l.direct[roomID] }

// roomLabels keeps the labels of users. They follow the journal.
type roomLabels struct {
	data  *accountdata.Service
	known *cache.Cache[string, labels]
}

func newRoomLabels(data *accountdata.Service, share int) *roomLabels {
	return &roomLabels{data: data, known: cache.New(share, func(userID string, l *labels) int {
		const fixed, perEntry = 200, 60
		bytes := fixed + cache.Text(userID)
		if l == nil {
			return bytes
		}
		for roomID := range l.direct {
			bytes += perEntry + cache.Text(roomID)
		}
		for _, tags := range l.tags {
			bytes += perEntry + cache.Text(tags...) + 16*len(tags)
		}
		return bytes
	})}
}

// of returns the labels of a user.
func (ls *roomLabels) of(ctx context.Context, userID string) (*labels, error) {
	place := ls.known.Place(userID)
	if known := place.Load(); known != nil {
		return known, nil
	}
	items, err := ls.data.OfAllRooms(ctx, userID, []string{accountdata.TypeDirect, accountdata.TypeTag})
	if err != nil {
		return nil, err
	}
	l := &labels{direct: map[string]bool{}, tags: map[journal.RoomNID][]string{}}
	for _, i := range items {
		l.add(i)
	}
	place.Store(l)
	return l, nil
}

// add adds what an item notes. What is of another form than it should be notes nothing.
func (l *labels) add(i *accountdata.Item) {
	if i.Room == 0 && i.Type == accountdata.TypeDirect {
		var byUser map[string]json.RawMessage
		_ = json.Unmarshal(i.Content, &byUser)
		for _, list := range byUser {
			var rooms []string
			_ = json.Unmarshal(list, &rooms)
			for _, roomID := range rooms {
				l.direct[roomID] = true
			}
		}
	}
	if i.Room != 0 && i.Type == accountdata.TypeTag {
		var content struct {
			Tags map[string]json.RawMessage `json:"tags"`
		}
		_ = json.Unmarshal(i.Content, &content)
		l.tags[i.Room] = slices.Sorted(maps.Keys(content.Tags))
	}
}

// committed forgets labels that have changed. It runs inside the journal.
func (ls *roomLabels) committed(_ journal.View, entries []*journal.Entry) {
	for _, entry := range entries {
		if i, ok := entry.Value.(*accountdata.Item); ok && (i.Type == accountdata.TypeDirect || i.Type == accountdata.TypeTag) {
			ls.known.Forget(i.UserID)
		}
	}
}

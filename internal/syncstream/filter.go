package syncstream

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"

	"homeserver/internal/cache"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// Filter shapes the answer of /sync: client-server API, "Filtering".
type Filter struct {
	EventFields []string              `json:"event_fields"`
	EventFormat string                `json:"event_format"`
	AccountData *timeline.EventFilter `json:"account_data"`
	Presence    *timeline.EventFilter `json:"presence"`
	Room        struct {
		Rooms        *[]string             `json:"rooms"`
		NotRooms     []string              `json:"not_rooms"`
		IncludeLeave bool                  `json:"include_leave"`
		AccountData  *timeline.EventFilter `json:"account_data"`
		Ephemeral    *timeline.EventFilter `json:"ephemeral"`
		State        *timeline.EventFilter `json:"state"`
		Timeline     *timeline.EventFilter `json:"timeline"`
	} `json:"room"`

	fields *fields               // of EventFields; nil: all
	rooms  *timeline.EventFilter // of Room.Rooms and Room.NotRooms; nil: all
}

// maxFilterBytes bounds a filter, and maxFilters how many of them a user can store.
const (
	maxFilterBytes = 64 << 10
	maxFilters     = 1000
)

// parseFilter reads a filter. M_NOT_JSON, M_BAD_JSON or M_INVALID_PARAM if it is none.
func parseFilter(definition []byte) (*Filter, error) {
	var f Filter
	if err := decodeFilter(definition, &f); err != nil {
		return nil, err
	}
	switch f.EventFormat {
	case "", "client", "federation":
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, `event_format must be "client" or "federation"`)
	}
	f.rooms = &timeline.EventFilter{Rooms: f.Room.Rooms, NotRooms: f.Room.NotRooms}
	for _, part := range []**timeline.EventFilter{
		&f.AccountData, &f.Presence, &f.Room.AccountData, &f.Room.Ephemeral, &f.Room.State, &f.Room.Timeline, &f.rooms,
	} {
		if *part == nil {
			continue
		}
		if err := (*part).Check(); err != nil {
			return nil, err
		}
		*part = (*part).Effective()
	}
	f.fields = newFields(f.EventFields)
	return &f, nil
}

// parseEventFilter reads a filter for the events of a room; nil if it has no effect. Errors
// as for a filter of /sync.
func parseEventFilter(definition []byte) (*timeline.EventFilter, error) {
	var f timeline.EventFilter
	if err := decodeFilter(definition, &f); err != nil {
		return nil, err
	}
	if err := f.Check(); err != nil {
		return nil, err
	}
	return f.Effective(), nil
}

// decodeFilter goes by way of canonical JSON, which knows no duplicate keys and
// bounds the depth.
func decodeFilter(definition []byte, into any) error {
	canonical, err := canonicalFilter(definition)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(canonical, into); err != nil {
		return matrix.Errorf(matrix.BadJSON, "the filter is not of the right form: %v", err)
	}
	return nil
}

func canonicalFilter(definition []byte) ([]byte, error) {
	if len(definition) > maxFilterBytes {
		return nil, matrix.Errorf(matrix.TooLarge, "a filter has at most %d bytes", maxFilterBytes)
	}
	canonical, err := event.Canonical(definition, false)
	if err != nil {
		return nil, err
	}
	if canonical[0] != '{' {
		return nil, matrix.Errorf(matrix.BadJSON, "a filter is an object")
	}
	return canonical, nil
}

// wants reports whether a room may be in the answer at all.
func (f *Filter) wants(roomID string) bool { return f.rooms.WantsRoom(roomID) }

// lazy reports whether members come as they are needed.
func (f *Filter) lazy() bool { return f.Room.State != nil && f.Room.State.LazyLoadMembers }

// redundant reports whether members come again with each answer.
func (f *Filter) redundant() bool { return f.Room.State != nil && f.Room.State.IncludeRedundantMembers }

// storedFilter is the key of a stored filter. The filter of a key never changes.
type storedFilter struct{ user, id string }

// weighDefinition estimates the bytes in memory of a filter that is parsed from so many,
// without its event_fields.
func weighDefinition(bytes int) int {
	// A string has 16 bytes beside its own, and three in JSON.
	const structs, perByte = 1000, 8
	return structs + perByte*bytes
}

// weighStored estimates the bytes of a stored filter in memory.
func weighStored(of storedFilter, f *keptFilter) int {
	return cache.Text(of.user, of.id) + weighDefinition(f.definition) + f.fields.weigh()
}

// keptFilter is a filter beside the length of its definition.
type keptFilter struct {
	*Filter
	definition int
}

// noFilter is that of requests without one. Filters do not change.
var noFilter = &Filter{}

// filter returns the filter of a request: JSON, the ID of a stored one, or none.
// M_INVALID_PARAM if there is no such filter.
func (s *Service) filter(ctx context.Context, userID, given string) (*Filter, error) {
	switch {
	case given == "":
		return noFilter, nil
	case strings.HasPrefix(given, "{"):
		return s.inline.get(given)
	}
	key := storedFilter{userID, given}
	if known, ok := s.filters.Get(key); ok {
		return known.Filter, nil
	}
	definition, err := s.StoredFilter(ctx, userID, given)
	if matrix.IsCode(err, matrix.NotFound) {
		return nil, matrix.Errorf(matrix.InvalidParam, "there is no such filter")
	}
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(definition)
	if err == nil {
		s.filters.Put(key, &keptFilter{f, len(definition)})
	}
	return f, err
}

// StoreFilter stores a filter for a user and returns its ID; the same definition has
// the same ID. Errors as for a filter in a request for /sync, and M_UNKNOWN if the user
// has too many. Client-server API, POST /user/{userId}/filter.
func (s *Service) StoreFilter(ctx context.Context, userID string, definition json.RawMessage) (filterID string, err error) {
	if _, err := parseFilter(definition); err != nil {
		return "", err
	}
	canonical, err := canonicalFilter(definition)
	if err != nil {
		return "", err
	}
	hash := sha256.Sum256(canonical)
	id, err := s.storeFilter(ctx, userID, definition, hash[:])
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(id, 10), nil
}

// StoredFilter returns a filter as it was stored. M_NOT_FOUND if the user has none
// of that ID. Client-server API, GET /user/{userId}/filter/{filterId}.
func (s *Service) StoredFilter(ctx context.Context, userID, filterID string) (json.RawMessage, error) {
	id, err := strconv.ParseInt(filterID, 10, 64)
	if err != nil {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such filter")
	}
	return s.loadFilter(ctx, userID, id)
}

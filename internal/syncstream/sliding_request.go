package syncstream

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"slices"
	"time"

	"homeserver/internal/matrix"
)

// The bounds of a request of sliding sync.
const (
	maxConnIDBytes   = 255
	maxLists         = 100
	maxSubscriptions = 100
	maxRanges        = 10
	maxRequired      = 300
	maxTimelineLimit = 100
	maxFilterEntries = 100
)

// SlidingRequest is the body of a request of sliding sync: MSC4186, in the form in which it is
// served by its unstable name.
type SlidingRequest struct {
	ConnID        string                 `json:"conn_id"`
	Lists         map[string]SlidingList `json:"lists"`
	Subscriptions map[string]RoomConfig  `json:"room_subscriptions"`
	Extensions    Extensions             `json:"extensions"`
}

// RoomConfig is what is shown of a room.
type RoomConfig struct {
	TimelineLimit int        `json:"timeline_limit"`
	RequiredState [][]string `json:"required_state"`
}

// SlidingList asks for rooms by their recency.
type SlidingList struct {
	RoomConfig
	Ranges  [][]int      `json:"ranges"`
	Range   []int        `json:"range"`
	Filters *ListFilters `json:"filters"`
}

// ListFilters choose the rooms of a list.
type ListFilters struct {
	IsDM         *bool      `json:"is_dm"`
	Spaces       *[]string  `json:"spaces"`
	IsEncrypted  *bool      `json:"is_encrypted"`
	IsInvite     *bool      `json:"is_invite"`
	IsInvited    *bool      `json:"is_invited"`
	RoomTypes    *[]*string `json:"room_types"`
	NotRoomTypes []*string  `json:"not_room_types"`
	Tags         *[]string  `json:"tags"`
	NotTags      []string   `json:"not_tags"`
}

// Extensions ask for what is not the history of rooms.
type Extensions struct {
	ToDevice struct {
		Enabled bool   `json:"enabled"`
		Since   string `json:"since"`
		Limit   *int   `json:"limit"`
	} `json:"to_device"`
	E2EE struct {
		Enabled bool `json:"enabled"`
	} `json:"e2ee"`
	AccountData RoomExtension `json:"account_data"`
	Receipts    RoomExtension `json:"receipts"`
	Typing      RoomExtension `json:"typing"`
}

// RoomExtension asks for what belongs to rooms: of some lists, and of some of the rooms that
// are subscribed to; nil: of all.
type RoomExtension struct {
	Enabled bool      `json:"enabled"`
	Lists   *[]string `json:"lists"`
	Rooms   *[]string `json:"rooms"`
}

// SlidingQuery is a request of sliding sync with what does not stand in its body.
type SlidingQuery struct {
	SlidingRequest
	UserID, DeviceID string
	// Pos is that of the last answer on the connection; "": none.
	Pos         string
	Timeout     time.Duration
	SetPresence string
}

// check refuses what no request can have: M_INVALID_PARAM.
func (q *SlidingRequest) check() error {
	if len(q.ConnID) > maxConnIDBytes || !matrix.IsText(q.ConnID) {
		return matrix.Errorf(matrix.InvalidParam, "conn_id has at most %d bytes", maxConnIDBytes)
	}
	if len(q.Lists) > maxLists || len(q.Subscriptions) > maxSubscriptions {
		return matrix.Errorf(matrix.InvalidParam, "there are at most %d lists and %d room_subscriptions", maxLists, maxSubscriptions)
	}
	required := 0
	for name, list := range q.Lists {
		required += len(list.RequiredState)
		if name == "" || len(name) > maxConnIDBytes {
			return matrix.Errorf(matrix.InvalidParam, "the name of a list has 1 to %d bytes", maxConnIDBytes)
		}
		if err := list.check(); err != nil {
			return err
		}
	}
	for roomID, config := range q.Subscriptions {
		required += len(config.RequiredState)
		if !matrix.IsRoomID(roomID) {
			return matrix.Errorf(matrix.InvalidParam, "room_subscriptions are by room IDs")
		}
		if err := config.check(); err != nil {
			return err
		}
	}
	const perRequest = 10
	if required > perRequest*maxRequired {
		return matrix.Errorf(matrix.InvalidParam, "a request has at most %d entries of required_state", perRequest*maxRequired)
	}
	if limit := q.Extensions.ToDevice.Limit; limit != nil && *limit < 1 {
		return matrix.Errorf(matrix.InvalidParam, "limit must be at least 1")
	}
	return nil
}

func (c *RoomConfig) check() error {
	if c.TimelineLimit < 0 {
		return matrix.Errorf(matrix.InvalidParam, "timeline_limit must not be negative")
	}
	if len(c.RequiredState) > maxRequired {
		return matrix.Errorf(matrix.InvalidParam, "required_state has at most %d entries", maxRequired)
	}
	for _, entry := range c.RequiredState {
		if len(entry) != 2 || len(entry[0])+len(entry[1]) > 2*matrix.MaxIDBytes || !matrix.IsText(entry[0]) || !matrix.IsText(entry[1]) {
			return matrix.Errorf(matrix.InvalidParam, "an entry of required_state is a type and a state key")
		}
	}
	return nil
}

func (l *SlidingList) check() error {
	if len(l.Ranges) > maxRanges {
		return matrix.Errorf(matrix.InvalidParam, "a list has at most %d ranges", maxRanges)
	}
	for _, r := range l.ranges() {
		if len(r) != 2 || r[0] < 0 || r[1] < r[0] {
			return matrix.Errorf(matrix.InvalidParam, "a range is the first and the last index, counted from 0")
		}
	}
	if err := l.Filters.check(); err != nil {
		return err
	}
	return l.RoomConfig.check()
}

// ranges returns the ranges; nil: the list has none, and shows all rooms.
func (l *SlidingList) ranges() [][]int {
	if l.Range != nil {
		return append(slices.Clone(l.Ranges), l.Range)
	}
	return l.Ranges
}

func (f *ListFilters) check() error {
	if f == nil {
		return nil
	}
	entries := len(f.NotRoomTypes) + len(f.NotTags)
	for _, list := range []*[]string{f.Spaces, f.Tags} {
		if list != nil {
			entries += len(*list)
		}
	}
	if f.RoomTypes != nil {
		entries += len(*f.RoomTypes)
	}
	if entries > maxFilterEntries {
		return matrix.Errorf(matrix.InvalidParam, "the filters of a list have at most %d entries", maxFilterEntries)
	}
	return nil
}

// SlidingSync returns what is new on a connection, waiting for it if there is nothing.
// M_UNKNOWN_POS for a pos that is not one of the last two that the device has got on the connection,
// M_INVALID_PARAM for values that no request can have.
func (s *Service) SlidingSync(ctx context.Context, q SlidingQuery) (*SlidingAnswer, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	r := &request{
		Query:  Query{UserID: q.UserID, DeviceID: q.DeviceID, Timeout: q.Timeout, UseStateAfter: true, SetPresence: q.SetPresence},
		filter: slidingFilter, bundled: true,
	}
	sliding, err := s.readSliding(ctx, r, &q)
	if err != nil {
		return nil, err
	}
	r.sliding = sliding
	a, err := s.sync(ctx, r)
	if err != nil {
		return nil, err
	}
	pos, err := s.connections.advance(ctx, a.plan)
	if err != nil {
		return nil, err
	}
	return &SlidingAnswer{Pos: pos, answer: a}, nil
}

// slidingFilter is the filter of all plans of sliding sync.
var slidingFilter = func() *Filter {
	f := &Filter{}
	f.Room.IncludeLeave = true
	return f
}()

// readSliding reads the pos, and compiles what is asked for.
func (s *Service) readSliding(ctx context.Context, r *request, q *SlidingQuery) (*slidingRequest, error) {
	sr := &slidingRequest{SlidingQuery: q, configs: map[string]*requiredState{}}
	version, token, err := parsePos(q.Pos)
	if err != nil {
		return nil, err
	}
	if sr.connection, sr.known, err = s.connections.find(ctx, connectionKey{q.UserID, q.DeviceID, q.ConnID}, version); err != nil {
		return nil, err
	}
	r.Since = token
	if err := s.resume(ctx, r); matrix.IsCode(err, matrix.InvalidParam) {
		return nil, errUnknownPos()
	} else if err != nil {
		return nil, err
	}
	if r.FullState { // the database was set back behind what the client has
		return nil, errUnknownPos()
	}
	if r.initial {
		r.Timeout = 0
	}
	ext := &q.Extensions
	r.noToDevice, r.toDevice = !ext.ToDevice.Enabled, 0
	if ext.ToDevice.Since != "" {
		if r.toDevice, err = ParseToken(ext.ToDevice.Since); err != nil {
			return nil, err
		}
		if err := s.Journal.CatchUp(ctx, r.toDevice); err != nil {
			return nil, err
		}
	}
	sr.compile()
	if asked := sr.hash(s.seed); !r.initial && !sr.connection.askedBefore(asked) {
		r.Timeout = 0
	}
	return sr, nil
}

// slidingRequest is a request with what was made of it.
type slidingRequest struct {
	*SlidingQuery
	connection *connection
	// known is what the client knows by the pos.
	known *knownRooms
	// lists and rooms have the configurations of lists and subscriptions.
	lists map[string]*roomConfig
	rooms map[string]*roomConfig
	// configs has each required state once, by its text.
	configs map[string]*requiredState
}

// roomConfig is a RoomConfig that was compiled.
type roomConfig struct {
	limit    int
	required *requiredState
}

func (sr *slidingRequest) compile() {
	sr.lists, sr.rooms = map[string]*roomConfig{}, map[string]*roomConfig{}
	for name, list := range sr.Lists {
		sr.lists[name] = sr.config(&list.RoomConfig)
	}
	for roomID, config := range sr.Subscriptions {
		sr.rooms[roomID] = sr.config(&config)
	}
}

// hash is a hash of what is asked for of rooms, which is never 0.
func (sr *slidingRequest) hash(seed maphash.Seed) uint64 {
	text, err := json.Marshal([]any{sr.Lists, sr.Subscriptions})
	if err != nil {
		return 0
	}
	return max(1, maphash.Bytes(seed, text))
}

func (sr *slidingRequest) config(c *RoomConfig) *roomConfig {
	required := newRequiredState(requiredPairs(c.RequiredState, sr.UserID))
	return &roomConfig{limit: min(c.TimelineLimit, maxTimelineLimit), required: sr.unique(required)}
}

// unique returns the one required state of its kind in the request.
func (sr *slidingRequest) unique(r *requiredState) *requiredState {
	if known := sr.configs[r.text]; known != nil {
		return known
	}
	sr.configs[r.text] = r
	return r
}

// and returns the superset of two configurations.
func (sr *slidingRequest) and(a, b *roomConfig) *roomConfig {
	if a == nil || a.required == b.required && a.limit <= b.limit {
		return b
	}
	both := &roomConfig{limit: max(a.limit, b.limit), required: a.required}
	if a.required != b.required {
		both.required = sr.unique(newRequiredState(append(slices.Clone(a.required.pairs), b.required.pairs...)))
	}
	return both
}

// enabled returns which extensions about rooms are on.
func (sr *slidingRequest) enabled() (list extensions) {
	for i, on := range []bool{sr.Extensions.AccountData.Enabled, sr.Extensions.Receipts.Enabled, sr.Extensions.Typing.Enabled} {
		if on {
			list |= 1 << i
		}
	}
	return list
}

// extensions is a set of the extensions about rooms.
type extensions uint8

// The extensions about rooms.
const (
	withAccountData extensions = 1 << iota
	withReceipts
	withTyping
)

// wants reports whether the extension is about a room.
func (e *RoomExtension) wants(w *slidingRoom) bool {
	if !e.Enabled {
		return false
	}
	if w.subscribed && (e.Rooms == nil || slices.Contains(*e.Rooms, "*") || slices.Contains(*e.Rooms, w.standing.RoomID)) {
		return true
	}
	if e.Lists == nil || slices.Contains(*e.Lists, "*") {
		return len(w.lists) > 0
	}
	return slices.ContainsFunc(w.lists, func(name string) bool { return slices.Contains(*e.Lists, name) })
}

// slidingRoom is a room in the window of a request: in a range of a list, or subscribed to.
type slidingRoom struct {
	userID     string
	standing   *standing
	config     *roomConfig
	lists      []string
	subscribed bool
	// known is what the client knows of it, if isKnown.
	known   knownRoom
	isKnown bool
}

package search

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// Bounds of one request.
const (
	maxResults     = 100
	maxContext     = 20
	defaultContext = 5
	maxTermBytes   = 1000
	// maxMatches is how many matches one search considers: the newest.
	maxMatches = 10_000
	// maxTime is how long PostgreSQL may search.
	maxTime = "5s"
	// patience is how long a search waits for the index.
	patience = 5 * time.Second
)

// The orders of results.
const (
	OrderRank   = "rank"
	OrderRecent = "recent"
)

// The keys that results can be grouped by.
const (
	GroupRoom   = "room_id"
	GroupSender = "sender"
)

// Options has all that a Service needs.
type Options struct {
	Pool    *pgxpool.Pool
	Journal *journal.Journal
	Rooms   *timeline.Store
	// Ignored returns the users that a user ignores; nil: none.
	Ignored func(ctx context.Context, userID string) (map[string]bool, error)
	Log     *slog.Logger
}

// Service holds the index and searches it. Its methods may be called concurrently.
type Service struct {
	pool     *pgxpool.Pool
	journal  *journal.Journal
	rooms    *timeline.Store
	ignored  func(ctx context.Context, userID string) (map[string]bool, error)
	follower *journal.Follower
	older    *rewriting
}

// New makes the service on a migrated database. Call it before the journal is
// started.
func New(o Options) *Service {
	s := &Service{pool: o.Pool, journal: o.Journal, rooms: o.Rooms, ignored: o.Ignored}
	s.follower = o.Journal.Follower("search", s.index)
	s.older = &rewriting{s: s, log: o.Log}
	return s
}

// Start begins to keep the index, until Stop. Call it after the journal has been
// started.
func (s *Service) Start(ctx context.Context) {
	s.follower.Start(ctx)
	s.older.start(ctx)
}

// Stop ends the work on the index.
func (s *Service) Stop() {
	s.older.stop()
	s.follower.Stop()
}

// Criteria has the terms and conditions of a search: client-server API, POST /search,
// Room Events Criteria.
type Criteria struct {
	Term string
	// Keys are where to look: content.body, content.name, content.topic; nil:
	// everywhere.
	Keys   []string
	Filter *timeline.EventFilter
	// Order is OrderRank, which is also the default, or OrderRecent.
	Order string
	// Context asks for the surroundings of each result; nil: they are not wanted.
	Context *Context
	// WithState asks for the state of the rooms of the results.
	WithState bool
	// GroupBy are GroupRoom and GroupSender.
	GroupBy []string
	// NextBatch continues an earlier search; "": a new one.
	NextBatch string
}

// Context has how many events around a result are wanted: 5 before and after it if that
// is nil, 20 at most.
type Context struct {
	Before, After *int
	// WithProfiles asks for how the senders called themselves at the time.
	WithProfiles bool
}

// Results is a page of results. Count is that of all pages, 10,000 at most.
type Results struct {
	Count   int64
	Results []*Result
	// NextBatch is the token of the next page; "": that was all.
	NextBatch string
	// Highlights are the words that were found, as they were written but in lower
	// case.
	Highlights []string
	// Groups are the groups of this page, by key and value.
	Groups map[string]map[string]*Group
	// State has the state of the rooms by room ID, as far as the asker may know it.
	State map[string]timeline.List
	// Access is the asker's access, by room.
	Access map[journal.RoomNID]*timeline.Access
}

// Group is the results of a page that share a room or a sender.
type Group struct {
	Order     int // 1 for the one with the first result
	EventIDs  []string
	NextBatch string // as of Results, for this group

	room journal.RoomNID // of its first result
}

// Result is one event that was found.
type Result struct {
	Event *timeline.Event
	Rank  float64
	// Around is nil where it was not asked for.
	Around *Surroundings
}

// Surroundings has the events around a result, in the order of /context: Before from
// the newest to the oldest, After from the oldest to the newest. Start and End are the
// tokens at which history goes on.
type Surroundings struct {
	Before, After []*timeline.Event
	Start, End    timeline.Place
	// Profiles has the member events of the senders, as of their events.
	Profiles []*timeline.Event
}

// Search finds events for a user. M_MISSING_PARAM without a term, M_INVALID_PARAM
// for a key, an order, a group or a token that is none, or a term of more than
// 1,000 bytes. Client-server API, POST /search.
func (s *Service) Search(ctx context.Context, userID string, c Criteria) (*Results, error) {
	q, err := newQuery(&c)
	if err != nil {
		return nil, err
	}
	if err := s.follower.AwaitNewest(ctx, patience); err != nil {
		return nil, err
	}
	r := &Results{Results: []*Result{}, Highlights: []string{}, Access: map[journal.RoomNID]*timeline.Access{}}
	if q.tsquery == "" {
		return r, nil
	}
	if err := s.restrict(ctx, q, r, userID); err != nil {
		return nil, err
	}
	found, err := s.find(ctx, q)
	if err != nil {
		return nil, err
	}
	r.Count = found.count
	read, err := s.load(ctx, q, r, found.hits)
	if err != nil {
		return nil, err
	}
	q.group(r, found.hits[:read], found.more || read < len(found.hits))
	if c.Context != nil {
		if err := s.surround(ctx, r, c.Context); err != nil {
			return nil, err
		}
	}
	if c.WithState {
		err = s.states(ctx, r)
	}
	return r, err
}

// restrict makes the query find only events that the user may read, of senders that the
// user does not ignore.
func (s *Service) restrict(ctx context.Context, q *query, r *Results, userID string) error {
	standings, err := s.rooms.Standings(ctx, userID)
	if err != nil {
		return err
	}
	standings = slices.DeleteFunc(standings, func(st *timeline.Standing) bool { return st.Forgotten })
	if q.filter, err = s.withPredecessors(ctx, q.filter, standings); err != nil {
		return err
	}
	standings = slices.DeleteFunc(standings, func(st *timeline.Standing) bool { return !q.filter.WantsRoom(st.RoomID) })
	nids := make([]journal.RoomNID, len(standings))
	for i, st := range standings {
		nids[i] = st.Room
	}
	encrypted, err := s.rooms.Encrypted(ctx, nids)
	if err != nil {
		return err
	}
	now := timeline.PlaceOf(s.journal.Position())
	for _, st := range standings {
		if encrypted[st.Room] || !q.from.wantsRoom(st.RoomID) {
			continue
		}
		access := st.Access()
		r.Access[st.Room] = access
		for _, within := range access.Ranges(0, now) {
			q.windows = append(q.windows, timeline.Window{Room: st.Room, Range: within})
		}
	}
	if q.hidden, err = s.hidden(ctx, r.Access); err != nil {
		return err
	}
	if s.ignored == nil {
		return nil
	}
	ignored, err := s.ignored(ctx, userID)
	if err != nil {
		return fmt.Errorf("read whom %s ignores: %w", userID, err)
	}
	for sender := range ignored {
		q.notSenders = append(q.notSenders, sender)
	}
	return nil
}

// hidden returns where messages are shown redacted to the user, whose text must not be
// found: those of erased users.
func (s *Service) hidden(ctx context.Context, accesses map[journal.RoomNID]*timeline.Access) ([]hiddenFrom, error) {
	erased, err := s.rooms.ErasedIn(ctx, slices.Collect(maps.Keys(accesses)))
	if err != nil {
		return nil, err
	}
	var hidden []hiddenFrom
	for room, users := range erased {
		for _, sender := range users {
			for _, within := range accesses[room].Hidden(sender) {
				hidden = append(hidden, hiddenFrom{timeline.Window{Room: room, Range: within}, sender})
			}
		}
	}
	return hidden, nil
}

// load reads the events of the first hits, of as many as one read may bring, and
// returns the number of these. One that has been redacted since is left out.
func (s *Service) load(ctx context.Context, q *query, r *Results, hits []hit) (read int, err error) {
	numbers := make([]timeline.EventNID, len(hits))
	for i, h := range hits {
		numbers[i] = h.NID
	}
	list, err := s.rooms.EventsOf(ctx, numbers)
	if err != nil {
		return 0, err
	}
	byNumber := make(map[timeline.EventNID]*timeline.Event, len(list.Events))
	for _, e := range list.Events {
		byNumber[e.NID] = e
	}
	hits = hits[:len(hits)-len(list.Left)]
	for _, h := range hits {
		if e := byNumber[h.NID]; e != nil && !e.Redacted() {
			r.Results = append(r.Results, &Result{Event: e, Rank: h.Rank})
			_, text := textOf(e)
			r.Highlights = q.terms.highlight(r.Highlights, text)
		}
	}
	return len(hits), nil
}

// states reads the state of the rooms of the results: now, or as it was when the
// user left.
func (s *Service) states(ctx context.Context, r *Results) error {
	now := timeline.PlaceOf(s.journal.Position())
	r.State = map[string]timeline.List{}
	var places []timeline.RoomAt
	ids := map[journal.RoomNID]string{}
	for _, result := range r.Results {
		e := result.Event
		if _, done := r.State[e.RoomID]; done {
			continue
		}
		r.State[e.RoomID], ids[e.Room] = timeline.List{}, e.RoomID
		if at, ok := r.Access[e.Room].StateUpTo(now); ok {
			places = append(places, timeline.RoomAt{Room: e.Room, At: at})
		}
	}
	states, err := s.rooms.States(ctx, places, nil, true)
	if err != nil {
		return err
	}
	for nid, state := range states {
		r.State[ids[nid]] = state
	}
	return nil
}

// errNoTerm answers a search for nothing.
func errNoTerm() error { return matrix.Errorf(matrix.MissingParam, "search_term is missing") }

// types are the types of events that can be found, and the keys of their text.
var types = map[string]string{
	"m.room.message": "content.body",
	"m.room.name":    "content.name",
	"m.room.topic":   "content.topic",
}

// isFindable reports whether an event is of a kind that is found: names and topics
// are state, and those of a room have no key.
func isFindable(e *timeline.Event) bool {
	if e.Type == "m.room.message" {
		return e.StateKey == nil
	}
	return e.StateKey != nil && *e.StateKey == ""
}

// textOf returns the text by which an event is found, and its key; "" if there is none.
// That of an edit is the new text: the edit is found by it, and the message that was edited
// by what it said at first.
func textOf(e *timeline.Event) (key, text string) {
	key = types[e.Type]
	if key == "" || !isFindable(e) {
		return "", ""
	}
	switch e.Type {
	case "m.room.message":
		if text, _ = event.StringField(newContent(e), "body"); text == "" {
			text, _ = event.StringField(e.Content(), "body")
		}
	case "m.room.name":
		text, _ = event.StringField(e.Content(), "name")
	default:
		text = topicText(e.Content())
	}
	return key, text
}

// newContent returns the content that an edit puts into the place of another, or the content
// of any other event.
func newContent(e *timeline.Event) []byte {
	if event.RelationOf(e.Content()).Type != event.RelReplace || !e.ReplacesContent() {
		return e.Content()
	}
	return event.Field(e.Content(), "m.new_content")
}

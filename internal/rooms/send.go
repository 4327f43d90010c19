package rooms

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// draft is an event that somebody wants to add to a room.
type draft struct {
	sender   string
	typ      string
	stateKey *string
	content  []byte
	target   *timeline.Event // of a redaction
	device   string          // of the request, with txn
	txn      string
	guest    bool   // the sender is a guest
	counted  bool   // what it costs was counted before: see charge
	ts       *int64 // in milliseconds since the epoch; nil: the present
	added    bool   // an event was made of it
	eventID  string // of the event that was made of it, or is there already; "": there is none
	optional bool   // it is left out where the sender may not send it
	asked    bool   // the target of the invite has asked for it
	profile  bool   // it changes nothing but what the room sees of a member
	// refusal is the answer if the rules of the room allow the event: see ScreenBy, and
	// claimAnnotation.
	refusal error
	// upgrade, unless it is nil, builds the room that the draft, a tombstone, names.
	upgrade *upgrade

	// prepare, where it is not nil, is shown the state entry that the draft would
	// replace (nil: there is none) before anything is built. It may refuse, set
	// the draft's content, or say that there is nothing left to do.
	prepare func(d *draft, current *timeline.Event) (done bool, err error)
	// also, unless it is nil, queues statements that are committed with the event.
	also func(b *pgx.Batch)
}

func (d *draft) redacts() string {
	if d.target == nil {
		return ""
	}
	return d.target.ID
}

// attempts is how often events are built anew in one turn, each time with more of the
// room's state loaded, and how often a room or its replacement is.
const attempts = 100

// patience is how long events are built anew because another process has moved the room
// on. It is a time, and no number of attempts: where the machine is slow, or the other
// process fast, all of many attempts come too late within a second.
const patience = 20 * time.Second

// errBroken makes the loop below load the room again.
var errBroken = errors.New("the room in memory is broken")

// submit builds the events on the room's heads, commits them together and returns the
// ID of the first once they are durable. Where the first draft repeats a transaction,
// or sets state that is so already, it is the existing event's. M_FORBIDDEN if there is
// no such room: strangers need not learn that. M_LIMIT_EXCEEDED, as of charge.
//
// The cost of the events is counted for the context's caller, and given back if they
// are not sent. Guests leave a room that no longer admits them; where that fails, so
// does submit, and the client asks again.
func (s *Service) submit(ctx context.Context, roomID string, drafts ...draft) (eventID string, err error) {
	if err := s.screenDrafts(ctx, roomID, drafts); err != nil {
		return "", err
	}
	claims, err := s.charge(ctx, drafts, 0)
	if err != nil {
		return "", err
	}
	eventID, err = s.commit(ctx, roomID, drafts)
	if err != nil || !slices.ContainsFunc(drafts, func(d draft) bool { return d.added }) {
		claims.GiveBack()
	}
	if err == nil && s.guests != nil && slices.ContainsFunc(drafts, draft.changesGuestAccess) {
		err = s.turnGuestsOut(ctx, roomID)
	}
	return eventID, err
}

// changesGuestAccess reports whether the draft changes whether guests are admitted: it
// sets that state, or redacts it.
func (d draft) changesGuestAccess() bool {
	return d.typ == event.TypeGuestAccess || d.target != nil && d.target.Type == event.TypeGuestAccess
}

// commit stages drafts whose cost is counted and waits until they are durable, again and
// again while the room moves on, as long as patience lasts. The staging waits for the
// caller's turn in the journal.
func (s *Service) commit(ctx context.Context, roomID string, drafts []draft) (eventID string, err error) {
	for until := time.Now().Add(patience); time.Now().Before(until); {
		r, err := s.room(ctx, roomID)
		if matrix.IsCode(err, matrix.NotFound) {
			return "", timeline.ErrNotInRoom()
		}
		if err != nil {
			return "", err
		}
		if err := s.prefetch(ctx, r, neededState(r.version, roomID, drafts)); err != nil {
			return "", err
		}
		end, err := s.journal.Turn(ctx, weight(drafts))
		if err != nil {
			return "", err
		}
		eventID, err := s.stageInTurn(ctx, r, drafts, end)
		if err == nil {
			return eventID, nil
		}
		if errors.Is(err, journal.ErrStale) {
			continue // the room has moved along, or is broken and will be loaded again
		}
		r.markBrokenUnlessRefused(err)
		switch {
		case timeline.Annotated(err): // by another process at the same time
			err = errAnnotated()
			fallthrough
		case timeline.Repeated(err), isRefusedNow(err) && drafts[0].txn != "":
			// A repeated request gets its first answer, even if the user may no longer
			// send.
			return s.byTransaction(ctx, r.nid, &drafts[0], err)
		case !errors.Is(err, errBroken) && !timeline.Moved(err) && !timeline.Doubled(err):
			return "", err
		}
	}
	return "", errTooManyWriters()
}

// isRefusedNow reports whether what was refused may have been allowed at another time.
func isRefusedNow(err error) bool {
	return matrix.IsCode(err, matrix.Forbidden) || matrix.IsCode(err, matrix.DuplicateAnnotation)
}

func errTooManyWriters() error {
	return &matrix.Error{
		Code: matrix.Unknown, Message: "too many requests write to this room at once: try again",
		Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	}
}

// markBrokenUnlessRefused marks the room broken after any error but that of an event
// that was refused before it was queued.
func (r *live) markBrokenUnlessRefused(err error) {
	var refused *matrix.Error
	if !errors.As(err, &refused) {
		r.markBroken()
	}
}

// stageInTurn stages the drafts under the room's lock, waits for the commit, and
// loads state that authorisation turned out to need. It ends the caller's turn.
func (s *Service) stageInTurn(ctx context.Context, r *live, drafts []draft, end func()) (eventID string, err error) {
	defer end()
	defer s.weigh(r) // once all is committed, and may be forgotten
	for range attempts {
		done, missed, err := s.stage(r, drafts)
		switch {
		case err != nil:
			return "", err
		case len(missed) > 0:
			if err := s.prefetch(ctx, r, missed); err != nil {
				return "", err
			}
		default:
			if err := done.wait(); err != nil {
				s.recent.drop(r.nid, &drafts[0], done)
				return "", err
			}
			return done.eventID, nil
		}
	}
	return "", errTooManyWriters()
}

// stage builds, authorises and queues the drafts, and moves the room's heads.
// This is all that happens under the room's lock; it does no I/O. It may find
// that state must be loaded first.
func (s *Service) stage(r *live, drafts []draft) (done *sent, missed []event.StateKey, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return nil, nil, errBroken
	}
	if before, ok := s.recent.get(r.nid, &drafts[0]); ok {
		return before, nil, nil
	}
	b := &builder{s: s, o: &overlay{r: r, added: map[event.StateKey]*timeline.Event{}}, heads: r.heads, ts: s.now().UnixMilli()}
	for i := range drafts {
		err := b.build(&drafts[i])
		if len(b.o.missed) > 0 {
			return nil, b.o.missed, nil
		}
		if drafts[i].optional && matrix.IsCode(err, matrix.Forbidden) {
			b.skip(nil)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		drafts[i].eventID = b.ids[i]
	}
	if len(b.fresh) > 0 {
		overtaken := r.overtaken
		pending, err := s.journal.Enqueue(&journal.Write{
			Entries: s.entries(slices.Concat(b.beside, b.fresh)), Also: b.also(), Stale: func() bool { return r.stale(overtaken) },
		})
		if err != nil {
			return nil, nil, err
		}
		r.advance(b, pending)
	}
	// With no new event, wait for those queued: the state that is so already may not be
	// durable yet.
	done = &sent{eventID: b.ids[0], pending: r.last.Load()}
	s.recent.put(r.nid, &drafts[0], done)
	return done, nil, nil
}

// advance moves the room to where the builder has come.
func (r *live) advance(b *builder, last *journal.Pending) {
	r.heads = b.heads
	r.last.Store(last)
	r.stateBytes += b.stateBytes
	for k, e := range b.o.added {
		r.state.set(k, e, last)
		r.lastState = last
	}
}

func (s *Service) entries(events []*timeline.Event) []*journal.Entry {
	entries := make([]*journal.Entry, len(events))
	for i, e := range events {
		entries[i] = s.Timeline.Entry(e)
	}
	return entries
}

// builder adds one event after another to a room's state and heads.
type builder struct {
	s     *Service
	o     *overlay
	heads heads
	ts    int64             // of the events, in milliseconds since the epoch
	ids   []string          // one for each draft; "" where nothing was done and nothing is there
	fresh []*timeline.Event // those that are to be committed
	// beside are those of another room that are to be committed before them.
	beside []*timeline.Event
	// stateBytes is by how much they make the state of the room larger.
	stateBytes int64
	with       []func(*pgx.Batch) // queue statements that are committed with them
}

// also returns the function that queues the statements committed with the events, or
// nil.
func (b *builder) also() func(*pgx.Batch) {
	if len(b.with) == 0 {
		return nil
	}
	return func(batch *pgx.Batch) {
		for _, queue := range b.with {
			queue(batch)
		}
	}
}

// build makes and authorises the event of one draft. State that is already so
// is not set again.
func (b *builder) build(d *draft) error {
	d.added = false
	if done, err := b.prepare(d); done || err != nil {
		return err
	}
	if err := b.admit(d); err != nil {
		return err
	}
	if d.upgrade != nil {
		if err := d.upgrade.begin(d); err != nil {
			return err
		}
	}
	built, err := b.compose(d)
	if err != nil {
		return err
	}
	return b.add(d, built)
}

// compose makes the event of a draft on the heads of the room, and checks that it is allowed.
func (b *builder) compose(d *draft) (*event.Event, error) {
	v := b.o.r.version
	p := event.Proto{
		RoomID: b.o.r.id, Type: d.typ, Sender: d.sender, StateKey: d.stateKey, Content: d.content,
		Redacts: d.redacts(), OriginServerTS: b.ts, Depth: b.heads.Depth + 1,
	}
	if d.ts != nil {
		p.OriginServerTS = *d.ts
	}
	if err := b.references(v, &p); err != nil {
		return nil, err
	}
	built, err := event.Build(v, p, b.s.signer)
	if err != nil {
		return nil, err
	}
	if err := event.Authorize(v, built, b.o); err != nil {
		return nil, err
	}
	if err := b.screen(d); err != nil {
		return nil, err
	}
	if d.target != nil && !b.mayRedact(d) {
		return nil, matrix.Errorf(matrix.Forbidden, "you may redact your own events only")
	}
	return built, nil
}

// add adds an event to the room and to what is committed, unless it is state that is so
// already.
func (b *builder) add(d *draft, built *event.Event) (err error) {
	if b.o.r.id == "" { // version 12: the room's ID is made of its first event
		b.o.r.id = built.RoomID
	}
	e := &timeline.Event{Event: built, Room: b.o.r.nid, DeviceID: d.device, TxnID: d.txn}
	e.Staged = &timeline.Staged{Turn: b.heads.Turn, Target: d.target}
	if e.StateKey != nil {
		old, already := b.setState(e)
		if already {
			return nil
		}
		if err := b.resize(built, old); err != nil {
			return err
		}
	}
	if err := b.redact(e); err != nil {
		return err
	}
	if b.heads, err = b.heads.after(built); err != nil {
		return err
	}
	b.ids = append(b.ids, e.ID)
	b.fresh = append(b.fresh, e)
	d.added = true
	if d.also != nil {
		b.with = append(b.with, d.also)
	}
	if d.upgrade != nil {
		return d.upgrade.finish(b, e)
	}
	return nil
}

// prepare runs the draft's own step on the event that it would replace, unless state
// must be loaded first.
func (b *builder) prepare(d *draft) (done bool, err error) {
	if d.prepare == nil {
		return false, nil
	}
	current := b.o.get(event.StateKey{Type: d.typ, Key: *d.stateKey})
	if len(b.o.missed) > 0 {
		return true, nil
	}
	done, err = d.prepare(d, current)
	if done {
		b.skip(current)
	}
	return done, err
}

// skip answers a draft with the existing event, if there is one.
func (b *builder) skip(current *timeline.Event) {
	id := ""
	if current != nil {
		id = current.ID
	}
	b.ids = append(b.ids, id)
}

// references names the events before this one and those that allow it.
func (b *builder) references(v *event.Version, p *event.Proto) error {
	p.PrevEvents = b.heads.IDs
	keys, err := event.AuthKeys(v, p)
	if err != nil {
		return err
	}
	withHashes := v.EventIDs == event.RandomEventID
	if withHashes {
		p.ReferenceHashes = maps.Clone(b.heads.Hashes)
	}
	for _, k := range keys {
		e := b.o.get(k)
		if e == nil {
			continue
		}
		p.AuthEvents = append(p.AuthEvents, e.ID)
		if withHashes {
			if p.ReferenceHashes[e.ID], err = e.ReferenceHash(); err != nil {
				return err
			}
		}
	}
	return nil
}

// setState puts a state event into the overlay, and notes what it replaces and how it
// changes the numbers of members. It reports whether the state was so already; then the
// existing event answers the draft.
func (b *builder) setState(e *timeline.Event) (old *timeline.Event, already bool) {
	key := event.StateKey{Type: e.Type, Key: *e.StateKey}
	old = b.o.get(key)
	if old != nil && old.Sender == e.Sender && !old.Redacted() && bytes.Equal(old.Event.Content, e.Event.Content) {
		b.skip(old)
		return old, true
	}
	oldMembership := ""
	if old != nil {
		e.Replace(old)
		oldMembership = old.Membership()
	}
	if e.Type == event.TypeMember {
		e.Staged.Joined = change(oldMembership, e.Membership(), event.Join)
		e.Staged.Invited = change(oldMembership, e.Membership(), event.Invite)
	}
	b.o.added[key] = e
	return old, false
}

func change(from, to, what string) int {
	n := 0
	if from == what {
		n--
	}
	if to == what {
		n++
	}
	return n
}

// mayRedact reports whether the sender may redact the target: the own events,
// or with the power for it all.
func (b *builder) mayRedact(d *draft) bool {
	if d.target.Sender == d.sender {
		return true
	}
	levels, err := b.o.Event(event.TypePowerLevels, "").PowerLevels()
	return err == nil && event.UserPower(b.o.r.version, b.o, d.sender) >= levels.Redact()
}

// redact prepares the redacted form of a redaction's target.
func (b *builder) redact(e *timeline.Event) error {
	if e.Staged.Target == nil {
		return nil
	}
	v := b.o.r.version
	raw, err := event.Redact(v, e.Staged.Target.JSON)
	if err != nil {
		return err
	}
	e.Staged.Redacted, err = event.ParseTrusted(v, e.Staged.Target.ID, raw)
	return err
}

// neededState lists the state that building the drafts will surely ask for.
func neededState(v *event.Version, roomID string, drafts []draft) []event.StateKey {
	keys := []event.StateKey{{Type: event.TypeCreate}, {Type: event.TypePowerLevels}}
	for i := range drafts {
		d := &drafts[i]
		p := event.Proto{RoomID: roomID, Type: d.typ, Sender: d.sender, StateKey: d.stateKey, Content: d.content}
		if more, err := event.AuthKeys(v, &p); err == nil { // an error shows again, and counts, when the event is built
			keys = append(keys, more...)
		}
		if d.stateKey != nil {
			keys = append(keys, event.StateKey{Type: d.typ, Key: *d.stateKey})
		}
	}
	return keys
}

// byTransaction finds the event that a request with this transaction ID has
// sent before. Where there is none, the answer is the error given.
func (s *Service) byTransaction(ctx context.Context, room journal.RoomNID, d *draft, otherwise error) (eventID string, err error) {
	eventID, err = s.Timeline.EventOfTransaction(ctx, room, d.sender, d.device, d.txn, d.typ, d.redacts())
	if err != nil {
		return "", err
	}
	if eventID == "" {
		return "", otherwise
	}
	s.recent.put(room, d, &sent{eventID: eventID})
	return eventID, nil
}

package push

import (
	"context"
	"fmt"
	"slices"

	"homeserver/internal/event"
	"homeserver/internal/journal"
	"homeserver/internal/reserve"
	"homeserver/internal/rooms/timeline"
)

// Count is a number of unread notifications: client-server API, GET /sync,
// UnreadNotificationCounts.
type Count struct{ Notification, Highlight int }

func (c *Count) add(highlight bool) {
	c.Notification++
	if highlight {
		c.Highlight++
	}
}

// Unread has the counts of what a user has not read in a room.
type Unread struct {
	// Main counts the events in no thread.
	Main Count
	// Threads has the threads with unread events, by the event ID of their root.
	Threads map[string]Count
}

// Total is the count for clients that know nothing of threads.
func (u *Unread) Total() Count {
	total := u.Main
	for _, c := range u.Threads {
		total.Notification += c.Notification
		total.Highlight += c.Highlight
	}
	return total
}

func (u *Unread) add(i *item) {
	if i.thread == "" {
		u.Main.add(i.highlight)
		return
	}
	if u.Threads == nil {
		u.Threads = map[string]Count{}
	}
	c := u.Threads[i.thread]
	c.add(i.highlight)
	u.Threads[i.thread] = c
}

// Counts returns the unread counts of a user in rooms that the user is in, as of a
// position: of the events after the newest receipt, and after the user's own last event
// in the same thread, those that the rules notify of. There is an answer for each room,
// which counts to MaxUnread. Client-server API, "Receiving notifications" and "Marking
// notifications as read".
func (s *Service) Counts(ctx context.Context, userID string, nids []journal.RoomNID, upTo journal.Position) (map[journal.RoomNID]Unread, error) {
	counts := make(map[journal.RoomNID]Unread, len(nids))
	err := s.unread(ctx, userID, nids, upTo, func(nid journal.RoomNID, items []item) {
		var u Unread
		for i := range items {
			u.add(&items[i])
		}
		counts[nid] = u
	})
	if err != nil {
		return nil, fmt.Errorf("count what %s has not read: %w", userID, err)
	}
	return counts, nil
}

// scan is the part of a room that is yet to be looked at.
type scan struct {
	room journal.RoomNID
	// from is the place after which it begins; high is where it ends.
	from, high timeline.Place
	// base is the tally that it continues, nil: none.
	base *tally
	// main is how far the main timeline is read. Of earlier events only those in
	// threads count, no further back than threadLookback, unless a tally is continued.
	main  timeline.Place
	below int

	events []*timeline.Event // newest first
	done   bool
	cut    bool // of what was last asked for, the older events were not read
}

// threadLookback is how many events from before the main timeline was read are
// looked at for unread threads, where no tally knows of them.
const threadLookback = 100

// counting is the work of counting for one user.
type counting struct {
	*evaluation
	s      *Service
	userID string
	marks  map[journal.RoomNID]timeline.ReadMarks
	upTo   journal.Position
	show   func(journal.RoomNID, []item)
}

// unread shows the unread items of each room, which are not to be kept.
func (s *Service) unread(ctx context.Context, userID string, nids []journal.RoomNID, upTo journal.Position, show func(journal.RoomNID, []item)) error {
	c := &counting{s: s, userID: userID, upTo: upTo, show: show}
	var err error
	if c.evaluation, err = s.newEvaluation(ctx, userID); err != nil {
		return err
	}
	if s.o.ReadUpTo != nil {
		if c.marks, err = s.o.ReadUpTo(ctx, userID, nids); err != nil {
			return err
		}
	}
	live, stored := c.plan(nids)
	if err := c.finish(ctx, live); err != nil || len(stored) == 0 {
		return err
	}
	return c.readInTurn(ctx, stored)
}

// readInTurn counts in rooms whose tables must be read. Requests of one user do so one
// at a time, by the rules as they are then: the next ones find the counts of the first,
// and need not read the same.
func (c *counting) readInTurn(ctx context.Context, scans []*scan) error {
	end, err := c.s.reads.Take(ctx, c.userID)
	if err != nil {
		return err
	}
	defer end()
	if c.evaluation, err = c.s.newEvaluation(ctx, c.userID); err != nil {
		return err
	}
	nids := make([]journal.RoomNID, len(scans))
	for i, sc := range scans {
		nids[i] = sc.room
	}
	live, stored := c.plan(nids)
	if err := c.finish(ctx, live); err != nil {
		return err
	}
	for some := range slices.Chunk(stored, firstPage.rooms) {
		if err := c.read(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// plan finds where to begin in each room, and reads events in the live window.
func (c *counting) plan(nids []journal.RoomNID) (live, stored []*scan) {
	scans := make([]*scan, len(nids))
	for i, nid := range nids {
		sc := &scan{room: nid}
		if sc.base, sc.from = c.s.tallies.find(tallyKey{c.userID, nid}, &c.basis, c.s.now()); sc.base == nil {
			marks := c.marks[nid]
			sc.from, sc.main = marks.Unthreaded, marks.UpTo("")
		}
		scans[i] = sc
	}
	c.s.journal.Read(func(v journal.View) {
		c.upTo = min(c.upTo, v.Position)
		for _, sc := range scans {
			sc.high = timeline.PlaceOf(c.upTo)
			if sc.from >= sc.high || v.Covers(sc.from.Position()) {
				c.takeLive(sc, v)
				live = append(live, sc)
			} else {
				stored = append(stored, sc)
			}
		}
	})
	return live, stored
}

// takeLive adds the events of the live window, only the newest if there are many.
func (c *counting) takeLive(sc *scan, v journal.View) {
	if sc.from >= sc.high {
		return
	}
	entries := v.About(journal.Topic{Room: sc.room}, sc.from.Position())
	for i := len(entries) - 1; i >= 0 && len(sc.events) < MaxUnread; i-- {
		if e := timeline.EventOf(entries[i]); e != nil && e.Position <= c.upTo && !c.isQuiet(e) {
			sc.events = append(sc.events, e)
		}
	}
}

// isQuiet reports whether an event is one of those that timelines leaves out.
func (c *counting) isQuiet(e *timeline.Event) bool {
	return c.rules.quietMembers && e.Type == event.TypeMember && e.StateKey != nil && *e.StateKey != c.userID && e.Sender != c.userID
}

// timelines reads the newest events in windows, but for those of which it is known
// that they change nothing.
func (c *counting) timelines(ctx context.Context, windows []timeline.Window, limit int) (timeline.Lists, error) {
	if c.rules.quietMembers {
		return c.s.rooms.TimelinesButMembers(ctx, windows, limit, c.userID)
	}
	return c.s.rooms.Timelines(ctx, windows, limit, nil)
}

// page is how much is read at once: a first page is enough for most rooms.
type page struct{ events, rooms int }

var (
	firstPage = page{events: 100, rooms: 50}
	lastPage  = page{events: MaxUnread - 100, rooms: 5}
)

// cutPages is how many more pages are read of a room alone whose last page was cut
// because its events are large. Events beyond them are not counted.
const cutPages = 4

// read evaluates events of some rooms from the tables. None of them stays in memory.
func (c *counting) read(ctx context.Context, scans []*scan) error {
	before := reserve.Used(ctx)
	defer func() { reserve.Drop(ctx, reserve.Used(ctx)-before) }()
	if err := c.readPage(ctx, scans, firstPage.events); err != nil {
		return err
	}
	var more, done []*scan
	for _, sc := range scans {
		if sc.done {
			done = append(done, sc)
		} else {
			more = append(more, sc)
		}
	}
	if err := c.finish(ctx, done); err != nil {
		return err
	}
	for some := range slices.Chunk(more, lastPage.rooms) {
		if err := c.readLast(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// readLast reads the rest of rooms for which one page was not enough.
func (c *counting) readLast(ctx context.Context, scans []*scan) error {
	before := reserve.Used(ctx)
	defer func() { reserve.Drop(ctx, reserve.Used(ctx)-before) }()
	if err := c.readPage(ctx, scans, lastPage.events); err != nil {
		return err
	}
	var whole []*scan
	for _, sc := range scans {
		if !sc.cut {
			whole = append(whole, sc)
			continue
		}
		if err := c.readCut(ctx, sc); err != nil {
			return err
		}
	}
	return c.finish(ctx, whole)
}

// readCut goes on with a room whose last page was cut, and finishes it.
func (c *counting) readCut(ctx context.Context, sc *scan) error {
	before := reserve.Used(ctx)
	defer func() { reserve.Drop(ctx, reserve.Used(ctx)-before) }()
	alone := []*scan{sc}
	for range cutPages {
		if !sc.cut || len(sc.events) >= MaxUnread {
			break
		}
		if err := c.readPage(ctx, alone, MaxUnread-len(sc.events)); err != nil {
			return err
		}
	}
	return c.finish(ctx, alone)
}

// readPage reads the next older events of each room.
func (c *counting) readPage(ctx context.Context, scans []*scan, limit int) error {
	windows := make([]timeline.Window, len(scans))
	for i, sc := range scans {
		windows[i] = timeline.Window{Room: sc.room, Range: timeline.Range{From: sc.from + 1, To: sc.high}}
	}
	found, err := c.timelines(ctx, windows, limit-1)
	if err != nil {
		return err
	}
	for _, sc := range scans {
		of := found[sc.room]
		sc.take(of.Events, limit, len(of.Left) > 0, c.userID)
	}
	return nil
}

// take adds a page of older events, as far as they count. Of a page that was cut there
// is more.
func (sc *scan) take(newestFirst []*timeline.Event, limit int, cut bool, userID string) {
	sc.done, sc.cut = len(newestFirst) < limit && !cut, cut
	for _, e := range newestFirst {
		sc.events = append(sc.events, e)
		sc.high = e.Place - 1
		effect := effectOf(e, userID, nil)
		if effect == read && e.Relation() == (event.Relation{}) {
			sc.main = max(sc.main, e.Place)
		}
		if e.Place <= sc.main && sc.base == nil {
			sc.below++
		}
		if effect == restart || sc.below >= threadLookback {
			sc.done, sc.cut = true, false
			return
		}
	}
}

// finish evaluates the events that were found in rooms, and settles their tallies.
func (c *counting) finish(ctx context.Context, scans []*scan) error {
	var all []*timeline.Event
	for _, sc := range scans {
		slices.Reverse(sc.events)
		all = append(all, sc.events...)
	}
	if err := c.s.enter(ctx, c.evaluation, all); err != nil {
		return err
	}
	steps := c.steps(all)
	if err := c.s.findThreads(ctx, steps); err != nil {
		return err
	}
	for _, sc := range scans { // the steps are in their order
		n := 0
		for n < len(steps) && steps[n].event.Room == sc.room {
			n++
		}
		c.settle(sc, steps[:n])
		steps = steps[n:]
	}
	return nil
}

// steps evaluates events.
func (c *counting) steps(events []*timeline.Event) []step {
	var steps []step
	for _, e := range events {
		st := step{event: e, effect: effectOf(e, c.userID, c.ignored)}
		if st.effect == notify {
			outcome := c.outcome(e)
			if !outcome.Notify {
				continue
			}
			st.highlight = outcome.Highlight
		}
		if st.effect != ignore {
			steps = append(steps, st)
		}
	}
	return steps
}

// settle brings the tally of a room to the end of the scan. One that was left too
// far behind to be continued begins anew.
func (c *counting) settle(sc *scan, steps []step) {
	t := sc.base
	if t == nil || len(sc.events) >= MaxUnread || sc.cut {
		t = &tally{basis: c.basis, upTo: sc.from}
	}
	sc.events = nil
	key := tallyKey{c.userID, sc.room}
	p := progress{steps: steps, upTo: timeline.PlaceOf(c.upTo), marks: c.marks[sc.room]}
	if c.cut[sc.room] {
		p.roughUntil = c.s.now().Add(budgetRefill)
	}
	c.s.tallies.settle(key, t, p, func(left []item) { c.show(sc.room, left) })
}

// unreadPlaces returns the places of a user's unread notifications in rooms.
func (s *Service) unreadPlaces(ctx context.Context, userID string, nids []journal.RoomNID, upTo journal.Position) (map[timeline.Place]bool, error) {
	unread := map[timeline.Place]bool{}
	err := s.unread(ctx, userID, nids, upTo, func(_ journal.RoomNID, items []item) {
		for _, i := range items {
			unread[i.at] = true
		}
	})
	return unread, err
}

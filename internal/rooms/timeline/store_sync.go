package timeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/event"
	"homeserver/internal/journal"
)

// The methods in this file read many rooms at once, for /sync. They check no access:
// the caller passes the ranges of places that the user may read.

// Window is a range of a room's places to read.
type Window struct {
	Room journal.RoomNID
	Range
}

// columnsOfWindows returns windows as columns. For []int64 the driver has a fast way,
// and for slices of other integers a slow one.
func columnsOfWindows(windows []Window) (room, low, high []int64) {
	n := len(windows)
	room, low, high = make([]int64, n), make([]int64, n), make([]int64, n)
	for i, w := range windows {
		room[i], low[i], high[i] = int64(w.Room), int64(w.From), int64(w.To)
	}
	return room, low, high
}

// eachWindow is the windows of columnsOfWindows, as arguments $1 to $3. PostgreSQL does not
// look into the subqueries to see how many there are: where there are few, it would plan the
// whole query anew each time, which takes longer than to run it.
const eachWindow = `unnest((SELECT $1::bigint[]), (SELECT $2::bigint[]), (SELECT $3::bigint[])) AS w(room_nid, low, high)`

// Timelines reads the newest events in each window, at most limit+1 of each that the
// filter allows, newest first. If that is too much for one read, each room has its
// newest.
func (s *Store) Timelines(ctx context.Context, windows []Window, limit int, f *EventFilter) (Lists, error) {
	found, rest := s.recents.timelines(windows, limit+1, f.Match)
	return withStored(found, rest, func(rest []Window) (List, error) { return s.timelines(ctx, evenly, rest, limit, f) })
}

// Newest does the same without a filter; if that is too much for one read, it returns
// the newest of all.
func (s *Store) Newest(ctx context.Context, windows []Window, limit int) (List, error) {
	return s.timelines(ctx, newestFirst, windows, limit, nil)
}

func (s *Store) timelines(ctx context.Context, o order, windows []Window, limit int, f *EventFilter) (List, error) {
	room, low, high := columnsOfWindows(windows)
	list, err := s.page(ctx, o, f, func(f *EventFilter) (string, []any) {
		q := &query{args: []any{room, low, high, limit + 1}}
		sql := eachWindow + `
		CROSS JOIN LATERAL (
			SELECT * FROM events e
			WHERE e.room_nid = w.room_nid AND e.place BETWEEN w.low AND w.high` + f.where(q) + `
			ORDER BY e.place DESC LIMIT $4) e`
		return sql, q.args
	})
	slices.Reverse(list.Events)
	return list, err
}

// maxLooked bounds how many events of a window TimelinesButMembers looks at.
const maxLooked = 10_000

// TimelinesButMembers is Timelines without a filter, without changes that others made
// to the membership of others. Rooms with many members have little else that is new to
// a user who was away. No more than maxLooked events of a window are read.
func (s *Store) TimelinesButMembers(ctx context.Context, windows []Window, limit int, userID string) (Lists, error) {
	found, rest := s.recents.timelines(windows, limit+1, func(e *Event) bool {
		return e.Type != event.TypeMember || e.StateKey == nil || *e.StateKey == userID || e.Sender == userID
	})
	if len(rest) == 0 {
		return found, nil
	}
	room, low, high := columnsOfWindows(rest)
	list, err := s.page(ctx, evenly, nil, func(f *EventFilter) (string, []any) {
		q := &query{args: []any{room, low, high, limit + 1, userID, maxLooked}}
		sql := eachWindow + `
		CROSS JOIN LATERAL (
			SELECT * FROM (
				SELECT * FROM events e
				WHERE e.room_nid = w.room_nid AND e.place BETWEEN w.low AND w.high` + f.where(q) + `
				ORDER BY e.place DESC LIMIT $6) looked
			WHERE looked.type <> 'm.room.member' OR looked.state_key IS NULL OR looked.state_key = $5 OR looked.sender = $5
			ORDER BY looked.place DESC LIMIT $4) e`
		return sql, q.args
	})
	slices.Reverse(list.Events)
	return found.and(list.ByRoom()), err
}

// Oldest reads the first events in all of the windows together, at most limit+1 that
// the filter allows, oldest first.
func (s *Store) Oldest(ctx context.Context, windows []Window, limit int, f *EventFilter) (List, error) {
	room, low, high := columnsOfWindows(windows)
	return s.page(ctx, oldestFirst, f, func(f *EventFilter) (string, []any) {
		q := &query{args: []any{room, low, high, limit + 1}}
		sql := `
		SELECT n.event_nid FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, low, high)
		CROSS JOIN LATERAL (
			SELECT e.event_nid, e.place FROM events e
			WHERE e.room_nid = w.room_nid AND e.place BETWEEN w.low AND w.high` + f.where(q) + `
			ORDER BY e.place LIMIT $4) n
		ORDER BY n.place LIMIT $4`
		return fromEvents(whereNumber(sql)), q.args
	})
}

// RoomAt is a room at a place.
type RoomAt struct {
	Room journal.RoomNID
	At   Place
}

func (r RoomAt) room() journal.RoomNID { return r.Room }

// stateAt selects the numbers of the state of each room $1 at its place $2. Entries
// that hold now and those replaced since are found by an index each: with OFFSET 0
// PostgreSQL sees no other condition.
const stateAt = `
	SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, at)
	CROSS JOIN LATERAL (
		SELECT * FROM (
			(SELECT event_nid, type, state_key, value, place FROM room_state
			WHERE room_nid = w.room_nid AND replaced_at IS NULL OFFSET 0)
			UNION ALL
			(SELECT event_nid, type, state_key, value, place FROM room_state
			WHERE room_nid = w.room_nid AND replaced_at > w.at OFFSET 0)) held
		WHERE place <= w.at) s `

// stateButMembersAt is stateAt without the members, however many there are: of the
// entries that hold now, the index has those before them and those after them.
const stateButMembersAt = `
	SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, at)
	CROSS JOIN LATERAL (
		(SELECT event_nid, type, place FROM room_state
		WHERE room_nid = w.room_nid AND type < 'm.room.member' AND replaced_at IS NULL OFFSET 0)
		UNION ALL
		(SELECT event_nid, type, place FROM room_state
		WHERE room_nid = w.room_nid AND type > 'm.room.member' AND replaced_at IS NULL OFFSET 0)
		UNION ALL
		(SELECT event_nid, type, place FROM room_state
		WHERE room_nid = w.room_nid AND replaced_at > w.at OFFSET 0)) s
	WHERE s.place <= w.at AND s.type <> 'm.room.member'`

func columnsOf(rooms []RoomAt) (room, at []int64) {
	room, at = make([]int64, len(rooms)), make([]int64, len(rooms))
	for i, r := range rooms {
		room[i], at[i] = int64(r.Room), int64(r.At)
	}
	return room, at
}

// States reads the state of each room at its place, as far as the filter allows;
// without the members if withMembers is false. Events beyond one read are left.
func (s *Store) States(ctx context.Context, rooms []RoomAt, f *EventFilter, withMembers bool) (Lists, error) {
	found, rest := fromRecent(s.recents, rooms, RoomAt.room, func(r *recent, q RoomAt) ([]*Event, bool) {
		return r.stateAt(q.At, f, withMembers)
	})
	return withStored(found, rest, func(rest []RoomAt) (List, error) { return s.storedStates(ctx, rest, f, withMembers) })
}

func (s *Store) storedStates(ctx context.Context, rooms []RoomAt, f *EventFilter, withMembers bool) (List, error) {
	room, at := columnsOf(rooms)
	q := &query{args: []any{room, at}}
	return s.list(ctx, stateNumbers(withMembers), f.where(q), q.args...)
}

func stateNumbers(withMembers bool) string {
	if withMembers {
		return stateAt
	}
	return stateButMembersAt
}

// LazyState asks for the state of a room at a place with no more than some of its members. Each is
// named once, and has a member event, be it a later one.
type LazyState struct {
	RoomAt
	Members []string
}

// LazyStates reads the state of rooms, as far as the filter allows, and of their members as far as
// another filter does: in the order of places, but members last. Events beyond one read are left.
func (s *Store) LazyStates(ctx context.Context, rooms []LazyState, f, ofMembers *EventFilter) (Lists, error) {
	found, rest := fromRecent(s.recents, rooms, LazyState.room, func(r *recent, q LazyState) ([]*Event, bool) {
		return r.lazyState(q, f, ofMembers)
	})
	return withStored(found, rest, func(rest []LazyState) (List, error) { return s.storedLazyStates(ctx, rest, f, ofMembers) })
}

func (s *Store) storedLazyStates(ctx context.Context, rooms []LazyState, f, ofMembers *EventFilter) (List, error) {
	at := make([]RoomAt, len(rooms))
	var members []MemberAt
	for i, r := range rooms {
		at[i] = r.RoomAt
		for _, user := range r.Members {
			members = append(members, MemberAt{r.RoomAt, user})
		}
	}
	room, place := columnsOf(at)
	roomOf, placeOf, user := columnsOfMembers(members)
	q := &query{args: []any{room, place, roomOf, placeOf, user}}
	list, err := s.list(ctx, stateButMembersAt+`
		UNION ALL
		SELECT m.event_nid FROM unnest($3::bigint[], $4::bigint[], $5::text[]) AS w(room_nid, at, user_id)
		CROSS JOIN LATERAL (`+memberAt("w.user_id")+`) m`,
		` AND CASE e.type WHEN 'm.room.member' THEN true`+ofMembers.where(q)+` ELSE true`+f.where(q)+` END`, q.args...)
	slices.SortStableFunc(list.Events, membersLast)
	return list, err
}

// Around asks for the state of a room around a part of its timeline: as it is at Until,
// but as it was at Start where the timeline shows the change.
type Around struct {
	Room         journal.RoomNID
	Start, Until Place
}

func (a Around) room() journal.RoomNID { return a.Room }

// StatesAround is States for timelines that show some state events.
func (s *Store) StatesAround(
	ctx context.Context, rooms []Around, shown []EventNID, f *EventFilter, withMembers bool,
) (Lists, error) {
	found, rest := fromRecent(s.recents, rooms, Around.room, func(r *recent, a Around) ([]*Event, bool) {
		return r.stateAround(a, shown, f, withMembers)
	})
	return withStored(found, rest, func(rest []Around) (List, error) { return s.storedStatesAround(ctx, rest, shown, f, withMembers) })
}

func (s *Store) storedStatesAround(
	ctx context.Context, rooms []Around, shown []EventNID, f *EventFilter, withMembers bool,
) (List, error) {
	n := len(rooms)
	room, start, until := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, r := range rooms {
		room[i], start[i], until[i] = int64(r.Room), int64(r.Start), int64(r.Until)
	}
	q := &query{args: []any{room, until, start, shown}}
	but := ``
	if !withMembers {
		// But those that have changed out of sight. OFFSET 0 has them found by their places:
		// by their type, all members of the room would be looked at.
		but = ` AND s.type <> 'm.room.member'
	UNION ALL
	SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, until, start)
	CROSS JOIN LATERAL (
		SELECT event_nid, type, replaced_at FROM room_state
		WHERE room_nid = w.room_nid AND place > w.start AND place <= w.until OFFSET 0) s
	WHERE s.type = 'm.room.member' AND (s.replaced_at IS NULL OR s.replaced_at > w.until) AND s.event_nid <> ALL($4)`
	}
	numbers := `
	SELECT held.event_nid FROM (` + stateNumbers(withMembers) + `) held WHERE held.event_nid <> ALL($4::bigint[])
	UNION ALL
	SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS w(room_nid, until, start)
	CROSS JOIN LATERAL (
		SELECT event_nid, type, state_key, place FROM room_state
		WHERE room_nid = w.room_nid AND replaced_at > w.start AND replaced_at <= w.until OFFSET 0) s
	WHERE s.place <= w.start AND EXISTS (
		SELECT FROM room_state n WHERE n.room_nid = w.room_nid AND n.type = s.type AND n.state_key = s.state_key
			AND n.place > w.start AND n.place <= w.until AND n.event_nid = ANY($4) OFFSET 0)` + but
	return s.list(ctx, numbers, f.where(q), q.args...)
}

// MemberAt is a user's membership of a room at a place.
type MemberAt struct {
	RoomAt
	User string
}

// MemberEvents reads their member events, as far as the filter allows. Events beyond
// one read are left.
func (s *Store) MemberEvents(ctx context.Context, members []MemberAt, f *EventFilter) (Lists, error) {
	found, rest := s.recents.members(members, f)
	return withStored(found, rest, func(rest []MemberAt) (List, error) {
		if r := s.recents.large(rest); r != nil {
			return s.membersOfLarge(ctx, r, rest, f)
		}
		return s.storedMembers(ctx, rest, f)
	})
}

func (s *Store) storedMembers(ctx context.Context, members []MemberAt, f *EventFilter) (List, error) {
	room, at, user := columnsOfMembers(members)
	q := &query{args: []any{room, at, user}}
	return s.list(ctx, `
		SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS w(room_nid, at, user_id)
		CROSS JOIN LATERAL (`+memberAt("w.user_id")+`) s`, f.where(q), q.args...)
}

func columnsOfMembers(members []MemberAt) (room, at []int64, user []string) {
	n := len(members)
	room, at, user = make([]int64, n), make([]int64, n), make([]string, n)
	for i, m := range members {
		room[i], at[i], user[i] = int64(m.Room), int64(m.At), m.User
	}
	return room, at, user
}

// memberAt selects the member event of a user in room w.room_nid at place w.at.
func memberAt(user string) string {
	return `
			SELECT event_nid FROM room_state
			WHERE room_nid = w.room_nid AND type = ` + memberType + ` AND state_key = ` + user + `
				AND place <= w.at AND (replaced_at IS NULL OR replaced_at > w.at) LIMIT 1`
}

// strippedTypes are the types of stripped state: client-server API, "Stripped state".
var strippedTypes = []string{
	event.TypeCreate, event.TypeName, event.TypeAvatar, event.TypeTopic, event.TypeJoinRules, event.TypeCanonicalAlias, event.TypeEncryption,
}

// strippedAt selects the state of types $3 of each room $1 at its place $2, one by one, however
// much other state there is.
const strippedAt = `
	SELECT s.event_nid FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, at) CROSS JOIN unnest($3::text[]) AS t(type)
	CROSS JOIN LATERAL (
		SELECT event_nid FROM room_state
		WHERE room_nid = w.room_nid AND type = t.type AND state_key = '' AND place <= w.at AND (replaced_at IS NULL OR replaced_at > w.at) LIMIT 1) s`

// Stripped reads the state of rooms that users see who are invited to them or knock:
// the stripped state at a place, the user's own member event and, beside an invitation,
// that of the sender, from which clients show the sender's name and picture. Events
// beyond one read are left.
func (s *Store) Stripped(ctx context.Context, rooms []RoomAt, userID string) (List, error) {
	found, rest := fromRecent(s.recents, rooms, RoomAt.room, func(r *recent, q RoomAt) ([]*Event, bool) {
		return r.strippedAt(q.At, userID)
	})
	var list List
	for _, of := range found {
		list = list.And(of)
	}
	if len(rest) == 0 {
		return list, nil
	}
	room, at := columnsOf(rest)
	stored, err := s.list(ctx, strippedAt+`
		UNION ALL
		SELECT own.event_nid FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, at) CROSS JOIN LATERAL (`+memberAt("$4")+`) own
		UNION ALL
		SELECT inviter.event_nid FROM unnest($1::bigint[], $2::bigint[]) AS w(room_nid, at)
		CROSS JOIN LATERAL (`+memberAt("$4")+`) own
		CROSS JOIN LATERAL (SELECT sender FROM events WHERE event_nid = own.event_nid LIMIT 1) e
		CROSS JOIN LATERAL (`+memberAt("e.sender")+`) inviter`,
		"", room, at, strippedTypes, userID)
	return list.And(stored), err
}

// StrippedAt reads the stripped state that goes with invitations, by their numbers: that of
// the room at the last of them, the member event of the sender, and the invitation.
func (s *Store) StrippedAt(ctx context.Context, invites []*Event) (map[EventNID][]*Event, error) {
	last := map[journal.RoomNID]Place{}
	members := make([]MemberAt, len(invites))
	for i, e := range invites {
		last[e.Room] = max(last[e.Room], e.Place)
		members[i] = MemberAt{RoomAt{e.Room, e.Place}, e.Sender}
	}
	rooms := make([]RoomAt, 0, len(last))
	for nid, at := range last {
		rooms = append(rooms, RoomAt{nid, at})
	}
	room, at := columnsOf(rooms)
	state, err := s.list(ctx, strippedAt, "", room, at, strippedTypes)
	if err != nil {
		return nil, err
	}
	inviters, err := s.MemberEvents(ctx, members, nil)
	if err != nil {
		return nil, err
	}
	states := state.ByRoom()
	found := make(map[EventNID][]*Event, len(invites))
	for _, e := range invites {
		list := slices.Clone(states[e.Room].Events)
		for _, m := range inviters[e.Room].Events {
			if m.IsState(event.TypeMember, e.Sender) {
				list = append(list, m)
				break
			}
		}
		found[e.NID] = append(list, e)
	}
	return found, nil
}

// Summary is what a client needs to name a room: client-server API, GET /sync,
// RoomSummary.
type Summary struct {
	Room            journal.RoomNID
	Joined, Invited int64
	Heroes          []string
}

// heroes is how many members make up the name of a room that has none.
const heroes = 5

// Summaries reads the summaries of rooms for one user, as of now.
func (s *Store) Summaries(ctx context.Context, rooms []journal.RoomNID, userID string) ([]Summary, error) {
	list := make([]Summary, 0, len(rooms))
	var rest []journal.RoomNID
	for _, nid := range rooms {
		sum, ok := inRecent(s.recents, nid, func(r *recent) (Summary, bool) { return r.summary(userID), true })
		if ok {
			list = append(list, sum)
		} else {
			rest = append(rest, nid)
		}
	}
	if len(rest) == 0 {
		return list, nil
	}
	stored, err := s.storedSummaries(ctx, rest, userID)
	return append(list, stored...), err
}

func (s *Store) storedSummaries(ctx context.Context, rooms []journal.RoomNID, userID string) ([]Summary, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT r.room_nid, r.joined_members, r.invited_members,
			CASE WHEN cardinality(present.users) > 0 THEN present.users ELSE ARRAY(
				SELECT s.state_key FROM room_state s
				WHERE s.room_nid = r.room_nid AND s.type = 'm.room.member' AND s.replaced_at IS NULL
					AND s.value IN ('leave', 'ban') AND s.state_key <> $2
				ORDER BY s.place LIMIT $3) END
		FROM rooms r
		CROSS JOIN LATERAL (SELECT ARRAY(
			SELECT h.state_key FROM (
				(SELECT s.state_key, s.place FROM room_state s
				WHERE s.room_nid = r.room_nid AND s.type = 'm.room.member' AND s.replaced_at IS NULL
					AND s.value = 'join' AND s.state_key <> $2 ORDER BY s.place LIMIT $3)
				UNION ALL
				(SELECT s.state_key, s.place FROM room_state s
				WHERE s.room_nid = r.room_nid AND s.type = 'm.room.member' AND s.replaced_at IS NULL
					AND s.value = 'invite' AND s.state_key <> $2 ORDER BY s.place LIMIT $3)) h
			ORDER BY h.place LIMIT $3) AS users OFFSET 0) present
		WHERE r.room_nid = ANY($1)`, rooms, userID, heroes)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Summary])
	if err != nil {
		return nil, fmt.Errorf("summarise rooms: %w", err)
	}
	return list, nil
}

// Standing is how one user stands to one room, over all time.
type Standing struct {
	Room   journal.RoomNID
	RoomID string
	// Forgotten reports that the user has forgotten the room, and gets nothing more of it.
	// Only the last membership is known then: other devices may not have seen it yet.
	Forgotten bool
	AccessChanges
}

// Standings reads how a user stands to rooms, in the order of their numbers.
func (s *Store) Standings(ctx context.Context, userID string) ([]*Standing, error) {
	memberships, err := s.Memberships(ctx, userID)
	if err != nil {
		return nil, err
	}
	nids := make([]journal.RoomNID, len(memberships))
	for i, m := range memberships {
		nids[i] = m.Room
	}
	changes, err := s.accessChanges(ctx, nids, userID)
	if err != nil {
		return nil, err
	}
	forgotten, err := s.forgotten(ctx, userID, nids)
	if err != nil {
		return nil, err
	}
	standings := make([]*Standing, 0, len(memberships)+len(forgotten))
	for _, m := range memberships {
		if c := changes[m.Room]; c != nil {
			standings = append(standings, &Standing{Room: m.Room, RoomID: m.RoomID, AccessChanges: *c})
		}
	}
	for _, m := range forgotten {
		last := AccessChanges{Memberships: Changes{{From: m.Since, Value: m.Value}}}
		standings = append(standings, &Standing{Room: m.Room, RoomID: m.RoomID, Forgotten: true, AccessChanges: last})
	}
	slices.SortFunc(standings, func(a, b *Standing) int { return cmp.Compare(a.Room, b.Room) })
	return standings, nil
}

// forgotten lists the rooms that a user has left and then forgotten, but for
// those that the user has come back to. Their rooms lead to the memberships, which there
// is one of each: joined in one go, those of everybody may be read.
func (s *Store) forgotten(ctx context.Context, userID string, but []journal.RoomNID) ([]Membership, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT s.room_nid, r.room_id, s.value, s.place
		FROM forgotten_rooms f
		CROSS JOIN LATERAL (
			SELECT room_nid, value, place FROM room_state
			WHERE room_nid = f.room_nid AND type = `+memberType+` AND state_key = f.user_id AND replaced_at IS NULL AND event_nid IS NOT NULL LIMIT 1) s
		CROSS JOIN LATERAL (SELECT room_id FROM rooms WHERE room_nid = f.room_nid LIMIT 1) r
		WHERE f.user_id = $1 AND f.room_nid <> ALL($2) AND s.place <= f.position * `+placesEachSQL, userID, but)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Membership])
	if err != nil {
		return nil, fmt.Errorf("list the rooms that %s has forgotten: %w", userID, err)
	}
	return list, nil
}

// Visibilities reads how the history visibility of a room has changed.
func (s *Store) Visibilities(ctx context.Context, room journal.RoomNID) (Changes, error) {
	changes, err := s.accessChanges(ctx, []journal.RoomNID{room}, "")
	if err != nil || changes[room] == nil {
		return nil, err
	}
	return changes[room].Visibilities, nil
}

// Inviters returns the senders of those member events of a user that are left.
func (s *Store) Inviters(ctx context.Context, left []Left, userID string) (map[journal.RoomNID]string, error) {
	numbers := make([]int64, len(left))
	for i := range left {
		numbers[i] = int64(left[i].NID)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT room_nid, sender FROM events
		WHERE event_nid = ANY($1) AND type = 'm.room.member' AND state_key = $2`, numbers, userID)
	senders := map[journal.RoomNID]string{}
	var nid journal.RoomNID
	var sender string
	_, err := pgx.ForEachRow(rows, []any{&nid, &sender}, func() error {
		senders[nid] = sender
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the inviters of %s: %w", userID, err)
	}
	return senders, nil
}

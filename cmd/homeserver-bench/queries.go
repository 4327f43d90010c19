package main

// The rows that answers are made of, as the least that reads them from PostgreSQL. Each
// query begins with the rooms that are read, which are called mine: $1 is a user or a room.
const (
	roomsOfUser = `
		WITH mine AS MATERIALIZED (
			SELECT room_nid FROM room_state
			WHERE type = 'm.room.member' AND state_key = $1 AND value = 'join' AND replaced_at IS NULL)`
	oneRoom = `
		WITH mine AS MATERIALIZED (SELECT room_nid FROM rooms WHERE room_id = $1)`

	// newest are the events that the timelines of an answer begin with.
	newest = `,
		newest AS MATERIALIZED (
			SELECT mine.room_nid, e.json, e.sender FROM mine
			CROSS JOIN LATERAL (
				SELECT json, sender FROM events WHERE room_nid = mine.room_nid AND place IS NOT NULL ORDER BY place DESC LIMIT 10) e)
		SELECT json FROM newest
		UNION ALL`
	// currentState is the state of rooms, to be followed by conditions on s.
	currentState = `
		SELECT e.json FROM mine JOIN room_state s USING (room_nid) JOIN events e USING (event_nid)
		WHERE s.replaced_at IS NULL`
	onlyMembers = ` AND s.type = 'm.room.member'`
	notMembers  = ` AND s.type <> 'm.room.member'`
	// writers are the members who wrote the newest events.
	writers = `
		UNION ALL
		SELECT e.json FROM (SELECT DISTINCT room_nid, sender FROM newest) n
		JOIN room_state s ON s.room_nid = n.room_nid AND s.type = 'm.room.member' AND s.state_key = n.sender AND s.replaced_at IS NULL
		JOIN events e USING (event_nid)`

	everything       = newest + currentState
	everythingLazily = newest + currentState + notMembers + writers
	// laterEvents are those after a position.
	laterEvents = roomsOfUser + `
		SELECT e.json FROM mine
		CROSS JOIN LATERAL (SELECT json FROM events WHERE room_nid = mine.room_nid AND place > $2 * 1024 ORDER BY place DESC LIMIT 10) e`

	// newestPage is the first page of a room, $2 its length, and pageFrom that which ends
	// with the event $1.
	newestPage = oneRoom + `
		SELECT e.json FROM mine JOIN events e USING (room_nid) WHERE e.place IS NOT NULL ORDER BY e.place DESC LIMIT $2`
	pageFrom = `
		SELECT e.json FROM events t JOIN events e ON e.room_nid = t.room_nid AND e.place <= t.place
		WHERE t.event_id = $1 ORDER BY e.place DESC LIMIT $2`

	// around are the event $1 and those that stand around it, and stateAround the state
	// after the last of them, to be followed by conditions on s.
	around = `
		WITH target AS MATERIALIZED (SELECT room_nid, place FROM events WHERE event_id = $1),
		around AS MATERIALIZED (
			(SELECT e.room_nid, e.place, e.json, e.sender FROM target t
				JOIN events e ON e.room_nid = t.room_nid AND e.place <= t.place ORDER BY e.place DESC LIMIT 6)
			UNION ALL
			(SELECT e.room_nid, e.place, e.json, e.sender FROM target t
				JOIN events e ON e.room_nid = t.room_nid AND e.place > t.place ORDER BY e.place LIMIT 5)),
		last AS MATERIALIZED (SELECT room_nid, max(place) AS place FROM around GROUP BY room_nid)
		SELECT json FROM around
		UNION ALL`
	stateAround = `
		SELECT e.json FROM last t JOIN room_state s ON s.room_nid = t.room_nid AND s.place <= t.place
			AND (s.replaced_at IS NULL OR s.replaced_at > t.place)
		JOIN events e USING (event_nid) WHERE true`
	writersAround = `
		UNION ALL` + stateAround + onlyMembers + ` AND s.state_key IN (SELECT sender FROM around)`
)

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
	// shownMembers are the members who wrote the newest events, and those after whom a room
	// may be named, who are the first ones.
	shownMembers = `
		UNION ALL
		SELECT e.json FROM (
			SELECT room_nid, sender FROM newest
			UNION
			SELECT mine.room_nid, h.state_key FROM mine
			CROSS JOIN LATERAL (
				SELECT state_key FROM room_state s
				WHERE s.room_nid = mine.room_nid AND type = 'm.room.member' AND value = 'join' AND replaced_at IS NULL
				ORDER BY place LIMIT 6) h) n
		CROSS JOIN LATERAL (
			SELECT event_nid FROM room_state s
			WHERE s.room_nid = n.room_nid AND s.type = 'm.room.member' AND s.state_key = n.sender AND s.replaced_at IS NULL
			LIMIT 1) s
		JOIN events e USING (event_nid)`

	everything       = newest + currentState
	everythingLazily = newest + currentState + notMembers + shownMembers
	// laterEvents are those after a position.
	laterEvents = roomsOfUser + `
		SELECT e.json FROM mine
		CROSS JOIN LATERAL (SELECT json FROM events WHERE room_nid = mine.room_nid AND place > $2 * 1024 ORDER BY place DESC LIMIT 10) e`

	// newestPage is the newest events of a room, and pageFrom those up to the event $1. A number
	// of events follows.
	newestPage = `
		SELECT e.json FROM (SELECT room_nid FROM rooms WHERE room_id = $1) t
		CROSS JOIN LATERAL (SELECT json FROM events WHERE room_nid = t.room_nid AND place IS NOT NULL ORDER BY place DESC LIMIT %d) e`
	pageFrom = `
		SELECT e.json FROM (SELECT room_nid, place FROM events WHERE event_id = $1) t
		CROSS JOIN LATERAL (SELECT json FROM events WHERE room_nid = t.room_nid AND place <= t.place ORDER BY place DESC LIMIT %d) e`

	// around are the event $1 and those that stand around it, and stateAround the state
	// after the last of them, to be followed by conditions on s.
	around = `
		WITH around AS MATERIALIZED (
			SELECT e.* FROM (SELECT room_nid, place FROM events WHERE event_id = $1) t
			CROSS JOIN LATERAL (
				(SELECT room_nid, place, json, sender FROM events WHERE room_nid = t.room_nid AND place <= t.place ORDER BY place DESC LIMIT 6)
				UNION ALL
				(SELECT room_nid, place, json, sender FROM events WHERE room_nid = t.room_nid AND place > t.place ORDER BY place LIMIT 5)) e),
		last AS MATERIALIZED (SELECT room_nid, max(place) AS place FROM around GROUP BY room_nid)
		SELECT json FROM around
		UNION ALL`
	stateAround = `
		SELECT e.json FROM last t JOIN room_state s ON s.room_nid = t.room_nid AND s.place <= t.place
			AND (s.replaced_at IS NULL OR s.replaced_at > t.place)
		JOIN events e USING (event_nid) WHERE true`
	writersAround = `
		UNION ALL
		SELECT e.json FROM (SELECT DISTINCT sender FROM around) w CROSS JOIN last t
		CROSS JOIN LATERAL (
			SELECT event_nid FROM room_state s
			WHERE s.room_nid = t.room_nid AND s.type = 'm.room.member' AND s.state_key = w.sender AND s.place <= t.place
			ORDER BY s.place DESC LIMIT 1) s
		JOIN events e USING (event_nid)`
)

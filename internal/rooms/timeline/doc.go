// Package timeline reads rooms: events, their order, the state at any place, the
// members at any place, and the parts that one user may read. It owns the tables
// events, relations, threads, room_state, rooms, forgotten_rooms and erased_users, with
// all SQL for them, also the statements that package rooms has the journal write. Package
// rooms decides what is written.
//
// Promises:
//
//   - What a user may read is worked out by one pure function, NewAccess, which
//     everything that reads history goes through.
//   - Every read serves what is committed, and never more.
//   - A row that cannot be read is left out and reported, but for those by which
//     something is allowed: there it is an error.
//
// An event has four numbers, each in a column of its own:
//
//   - event_nid, its identity (EventNID), by which other rows refer to it.
//   - position, where it stands in the journal ([journal.Position]); NULL: it was
//     never new to clients. Tokens of /sync and whatever follows the journal go by it.
//   - place, where it stands in its room (Place); NULL: in no timeline. History,
//     state, access and receipts go by it.
//   - status, what this server makes of it; 0: it is live.
//
// A new event of this server has its position as its identity, and PlaceOf its
// position as its place. That costs its row no more than 40 bytes, and no index.
//
// What an event relates to stands in its content. An event with a relation that is not
// redacted also has a row of relations, by which it is found from the other, and which is
// written and removed by the same commits. A row of threads has what follows from those of
// m.thread: how many replies a root has, and the place of the latest; and its root.
//
// State is kept as intervals of places, each of which names the event that holds, so
// that the state at any place, and what changed between two, are single range queries.
// All intervals of a room are its line. A commit yields a RoomChange, with the intervals
// that begin at its place, which other processes and followers read back from there. A room
// that changes without an event, as yet none does, will have a row of its own kind that
// says at which place.
//
// What is read most is in memory: of the rooms used last the recent part, with the newest events
// from a place on that is called its floor, and the state since it last changed below that, see
// [Store.Recall]; of users what they may read of the rooms that they are in; of the live window what
// is aggregated with its events. All of it follows the commits. A method of the Store that reads
// looks there first and reads the rest by SQL, with the same result; [Store.Stored] reads by SQL alone.
package timeline

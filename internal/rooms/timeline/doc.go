// Package timeline is what is read of rooms: events, their order, the state at any
// place, who was a member when, and what of it one user may read. It owns the tables
// events, room_state, rooms, forgotten_rooms and erased_users: their SQL stands here, also
// that which package rooms has the journal write. Package rooms decides what is written.
//
// Promises:
//
//   - What a user may read is worked out by one pure function, NewAccess, which
//     everything that reads history goes through.
//   - Every read serves what is committed, and never more.
//   - A row that cannot be read is left out and reported, but for those by which
//     something is allowed: there it is an error.
//
// State is kept as intervals of positions, so that the state at any position,
// and what changed between two, are single range queries.
package timeline

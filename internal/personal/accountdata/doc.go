// Package accountdata keeps what users store for themselves, for their whole
// account or for a room: client-server API, "Client Config", "Room Tagging", and
// the list of users that somebody ignores.
//
// Promises:
//
//   - Each change is an entry of the journal for its user alone, so that /sync
//     brings it to all devices.
//   - Tags of one room that are changed at once are all kept.
//   - What a user can store is bounded. Whom a user ignores is kept in memory.
//
// Data flow: Set ─▶ journal ─▶ table account_data; Changes and All are what
// /sync reads of it beyond the live window.
package accountdata

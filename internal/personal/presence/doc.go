// Package presence knows who is online: client-server API, "Presence". It keeps
// that in memory only; after a restart everybody is offline until they come back.
//
// Promises:
//
//   - A change wakes the /sync requests of those who share a room with the user,
//     and nobody else is told.
//   - Of several devices that ask for news, one on which the user is not idle
//     decides.
//   - Who does nothing for a while becomes unavailable, and who stops asking for
//     news becomes offline, by itself.
//
// Data flow: /sync, activity and PUT …/status change a user's state; Changed is
// what /sync reads, newest first, so that a request costs what has changed since
// and not how many are online.
package presence

// Package receipts stores how far users have read in rooms: client-server API,
// "Receipts" and "Read and unread markers".
//
// Promises:
//
//   - A receipt only moves forward: one for an older event does nothing, also if it
//     is sent at the same time, or to another process.
//   - m.read.private is shown to nobody but its user.
//   - Each receipt is an entry of the journal: for the room, or, if it is private,
//     for its user.
//
// Data flow: Send ─▶ journal ─▶ table receipts; /sync reads it by Changes
// beyond the live window. Marks, where unread counts begin, are kept in memory and
// move with the journal.
package receipts

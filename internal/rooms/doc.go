// Package rooms changes rooms: it builds, authorises and commits their events.
// Package timeline stores and reads them.
//
// Promises:
//
//   - Everything that a 200 promises is in one commit: the event, the state, the
//     membership, the transaction ID, the room's new head.
//   - The cost of adding an event does not grow with the number of members or
//     the age of the room: authorisation asks for single state entries, which are
//     kept in memory.
//   - A transaction ID makes one event, however often and to whichever process
//     the request is sent.
//
// Data flow of an event:
//
//	Send ─▶ submit ─▶ stage, under the room's lock: build on the head, authorise, sign,
//	                      move the head, queue ─▶ journal ─▶ tables (package timeline)
//
// A room in memory is ahead of the database by the events that are queued. Only the
// authorisation of later events looks at those; every read serves committed ones.
// When a queued event is not committed after all, or another process has moved the
// head, the room is loaded again and the event is built anew.
package rooms

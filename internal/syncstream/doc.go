// Package syncstream answers what one user sees of the journal: /sync in all its
// generations, with its filters, and /initialSync and /events of the time before it.
//
// Promises:
//
//   - One answer is one upper position and one snapshot: everything up to
//     next_batch that concerns the user, and nothing after it.
//   - The next answer continues where one ends: nothing is lost or sent twice between
//     two tokens, whichever process answers. There are two exceptions: a room that the
//     user joins (again) shows older history again, and the summary of a room may be
//     newer than next_batch.
//   - prev_batch continues in /messages without a gap.
//   - A waiting request costs one goroutine; it is woken by a commit that concerns
//     its user, goes on waiting if the filter leaves nothing, and ends with the
//     client's connection.
//   - In the usual case an answer takes no SQL: everything in it is in the live
//     window or in memory that follows the journal.
//   - A user gets no messages and invites of ignored users, and in /sync none of their
//     receipts, typing or presence.
//   - Typing and presence, which are not durable, are shown as they are at the time of
//     the answer; to a token of another process, all that is current.
//   - After a start, the rooms of those who have written last are read into memory before
//     anybody asks, in bounded time and memory.
//   - Sliding sync is another writer of the same plan: what a client has got of each room is
//     remembered for each connection, so that rooms which it does not look at fall behind and
//     are continued later without a gap.
//
// Data flow:
//
//	Sync ─▶ viewer (the user's standing in rooms, which follows the journal)
//	     ─▶ plan: which rooms, from where to where, in one moment of the journal
//	     ─▶ parts: timelines, state, receipts, presence and so on, each filled for all
//	        rooms at once: from the live window, and by SQL for the rest
//	     ─▶ Answer, which writes itself as JSON; V2Alpha, InitialSync and
//	        RoomInitialSync write the same plan as older generations had it
//	SlidingSync ─▶ the same viewer ─▶ the window: the rooms that lists and subscriptions choose,
//	     each planned from where the client has got it ─▶ slidingParts ─▶ SlidingAnswer
//	Stream ─▶ a plan of the rooms of the viewer, or of one room that anybody may read
//	     ─▶ their events in order, and the parts that are not the history of rooms
//	     ─▶ Chunk, likewise
//
// A new part of /sync is a file with its fill and append functions, a field of plan or
// room, its line in the list of parts, and its member in the writers that show it.
package syncstream

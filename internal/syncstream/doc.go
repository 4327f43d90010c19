// Package syncstream is what one user sees of the journal: /sync in all its generations,
// the filters that shape it, and /initialSync and /events of the time before it.
//
// Promises:
//
//   - One answer is one upper position and one snapshot: everything up to
//     next_batch that concerns the user, and nothing after it.
//   - What one answer leaves out the next one brings: nothing is lost or given
//     twice between two tokens, whichever process answers. But for two things: a
//     room that the user comes (back) to shows older history again, and the summary of
//     a room may be newer than next_batch.
//   - prev_batch continues in /messages without a gap.
//   - A waiting request costs one goroutine; it is woken by a commit that concerns
//     its user, goes on waiting if the filter leaves nothing, and ends with the
//     client's connection.
//   - In the usual case an answer takes no SQL: everything in it is in the live
//     window or kept in memory in step with the journal.
//   - A user who ignores somebody is shown none of their messages and invites, and in
//     /sync none of their receipts, typing or presence.
//   - Of what is not durable, typing and presence, the next answer shows how it is
//     then; to a token of another process, everything that is current.
//
// Data flow:
//
//	Sync ─▶ viewer (how the user stands to rooms, kept in step by the journal)
//	     ─▶ plan: which rooms, from where to where, in one moment of the journal
//	     ─▶ parts: timelines, state, receipts, presence and so on, each filled for all
//	        rooms at once: from the live window, and by SQL for what that does not hold
//	     ─▶ Answer, which writes itself as JSON; V2Alpha, InitialSync and
//	        RoomInitialSync write the same plan as older generations had it
//	Stream ─▶ a plan of the rooms of the viewer, or of one room that anybody may read
//	     ─▶ their events in order, and the parts that are not the history of rooms
//	     ─▶ Chunk, likewise
//
// A new part of /sync is a file with its fill and append functions, a field of plan or
// room, its line in the list of parts, and its member in the writers that show it.
package syncstream

// Package syncstream is what one user sees of the journal: /sync, the filters
// that shape it, and /events of the generations before it.
//
// Promises:
//
//   - One answer is one upper position and one snapshot: everything up to
//     next_batch that concerns the user, and nothing after it.
//   - What one answer leaves out the next one brings: nothing is lost or given
//     twice between two tokens, whichever process answers. But for two things: a
//     room that one comes (back) to shows older history again, and the summary of
//     a room may be newer than next_batch.
//   - prev_batch continues in /messages without a gap.
//   - A waiting request costs one goroutine; it is woken by a commit that concerns
//     its user, goes on waiting if the filter leaves nothing, and ends with the
//     client's connection.
//   - In the usual case an answer takes no SQL: everything in it is in the live
//     window or kept in memory in step with the journal.
//   - Who ignores somebody is shown none of their messages, invites, receipts,
//     typing or presence.
//   - Of what is not durable, typing and presence, the next answer gives how it is
//     then; to a token of another process, everything that is current.
//
// Data flow:
//
//	Sync ─▶ viewer (how the user stands to rooms, kept in step by the journal)
//	     ─▶ plan: which rooms, from where to where, in one moment of the journal
//	     ─▶ fill: timelines, state, members, summaries: from the live window, and
//	        in bulk by SQL for what it does not hold; account data, receipts, typing,
//	        presence and unread counts from their services
//	     ─▶ Answer, which writes itself as JSON
//	Stream ─▶ viewer, or one room that anybody may read
//	     ─▶ chunk: what happened between two tokens, in order ─▶ Chunk, likewise
package syncstream

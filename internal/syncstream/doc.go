// Package syncstream is what one user sees of the journal: /sync, and the
// filters that shape it.
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
//
// Data flow:
//
//	Sync ─▶ viewer (how the user stands to rooms, kept in step by the journal)
//	     ─▶ plan: which rooms, from where to where, in one moment of the journal
//	     ─▶ fill: timelines, state, members, summaries: from the live window, and
//	        in bulk by SQL for what it does not hold
//	     ─▶ Answer, which writes itself as JSON
package syncstream

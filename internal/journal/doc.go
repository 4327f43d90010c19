// Package journal is the one ordered log of everything durable that a client
// can learn of. A position in it is what a /sync token stands for.
//
// Promises:
//
//   - Position order is commit order, without gaps: whoever has read up to N
//     has seen everything up to N, for ever. Several processes may write to one
//     database. There is a gap only where a database was restored: see [Skip].
//   - Acknowledged means durable: Wait returns nil after PostgreSQL has
//     committed, and nobody is shown what is not committed.
//   - Whoever was answered sees the write: an entry stands in the live window
//     before Wait returns.
//   - One bad write harms only itself: a group that is refused is tried again in
//     halves. What may have been committed is never tried again.
//   - Callers take turns: who writes much waits for himself. A caller has half of what
//     is on its way at most, and the next turn is that of who has had the least.
//   - The queue is bounded in number and in bytes, and nobody waits in it for a
//     database that is away.
//   - A service that panics over an entry ends neither the server nor the log.
//   - A follower handles everything that is committed, in order and at least once,
//     in one process at a time, and goes on where it ended. No commit waits for it.
//   - What a service posts to the outbox in a transaction of its own comes into the log,
//     whatever happens to the process after its commit: by one process, and in order for
//     each topic. If the kind has a handler, that is called at least once.
//
// Data flow:
//
//	service: Turn ─▶ Enqueue ─▶ queue ─▶ writer: gather a group ─▶ one transaction
//	                                        │ committed
//	                                        ▼
//	    Wait returns ◀─ wake the listeners ◀─ observers ◀─ live window
//	                                             │
//	                          followers ◀────────┘ and, at a start, the database
//
//	service: Post, in its own transaction ─▶ outbox ─▶ writer ─▶ log ─▶ handler
//
// The services own their tables: each Table given with an entry queues the
// statements that write the rows of a whole group at once.
package journal

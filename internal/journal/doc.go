// Package journal is the one ordered log of everything durable that a client
// can learn of. A position in it is what a /sync token stands for.
//
// Promises:
//
//   - Position order is commit order, without gaps: a reader up to N has seen
//     everything up to N, for ever. Several processes may write to one
//     database. There is a gap only where a database was restored: see [Skip].
//   - Acknowledged means durable: Wait returns nil after PostgreSQL has
//     committed, and nothing is shown before it is committed.
//   - A caller that was answered sees its write: an entry is in the live window
//     before Wait returns.
//   - One bad write harms only itself: a group that is refused is tried again in
//     halves. A write that may have been committed is never tried again.
//   - Callers take turns: one that writes much waits for itself. A caller has at most
//     half of the writes on their way, and the caller who has had the least is next.
//   - The queue is bounded in number and in bytes, and no write waits in it for a
//     database that is away.
//   - A service that panics over an entry ends neither the server nor the log.
//   - A follower handles everything that is committed, in order and at least once,
//     in one process at a time, and goes on where it ended. No commit waits for it.
//   - An entry that a service posts to the outbox in a transaction of its own gets into
//     the log, whatever happens to the process after its commit: by one process, and in
//     order for each topic. If the kind has a handler, that is called at least once.
//
// Data flow:
//
//	service: Turn ─▶ Enqueue ─▶ queue ─▶ writer: gather a group ─▶ one transaction, in one round trip
//	                                        │ committed
//	                                        ▼
//	    Wait returns ◀─ wake the listeners ◀─ observers ◀─ live window
//	                                             │
//	                          followers ◀────────┘ and, at a start, the database
//
//	service: Post, in its own transaction ─▶ outbox ─▶ writer ─▶ log ─▶ handler
//
// The services own their tables: the Table of an entry queues the statements that write the rows of a whole group at once.
package journal

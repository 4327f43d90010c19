// Package gauge bounds how much of something goes on at once: requests, bytes of
// memory, pictures being scaled, passwords being hashed, writes in a queue.
//
// A [Gauge] has a bound in total and one for each caller, so that nobody uses up what
// belongs to all. [Gauge.TryEnter] counts or refuses at once; [Gauge.Enter] waits for
// its turn, where a caller who asks for much waits for himself: among those who wait,
// the one comes first whose caller has had the least so far. Who the caller is, a
// request's context says: [matrix.Caller].
//
// Promises: what is counted never exceeds the bounds, but for a single piece of work
// that is larger than they are, which is let in alone; nobody waits for ever, since
// turns only move forward; who does not wait or hold anything is forgotten.
package gauge

// Package gauge bounds how much of something goes on at once: requests, bytes of
// memory, pictures being scaled, passwords being hashed, writes in a queue.
//
// A [Gauge] has a bound in total and one for each caller, so that no caller uses up
// what belongs to all. [Gauge.TryEnter] counts or refuses at once; [Gauge.Enter] waits
// for its turn, where a caller that asks for much waits for itself: among those who
// wait, the caller who has had the least so far is next. The caller is that of a
// request's context: [matrix.Caller].
//
// Promises: the counts never exceed the bounds, but for a single piece of work that is
// larger than they are, which is admitted alone; nobody waits for ever, since turns
// only move forward; a caller that neither waits nor holds anything is forgotten.
package gauge

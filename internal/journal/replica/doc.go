// Package replica is how the processes on one database tell each other what
// cannot wait, by PostgreSQL's LISTEN and NOTIFY: how far the journal is, what
// caches must forget, who is typing.
//
// Promises:
//
//   - A message reaches all other processes that listen, soon, in the order of
//     its sender, or not at all: whoever depends on it looks into the database as
//     well, slowly, and is told when something may have been missed.
//   - What is told by Queue or Tell is told if, and only if, the transaction is
//     committed, and not before.
//   - A process that is alone sends nothing but a sign of life every ten seconds.
//   - Nobody waits for a message to be sent; what waits is bounded.
//
// It needs a session of its own in the database: behind a pooler of connections it
// does not work in transaction mode, and processes then learn of each other's
// writes by looking.
package replica

// Package replica sends messages between the processes on one database, by
// PostgreSQL's LISTEN and NOTIFY: the journal's position, what caches must forget,
// typing.
//
// Promises:
//
//   - A message reaches all other processes that listen, soon, in the order of
//     its sender, or not at all: a service that depends on it reads the database as
//     well, slowly, and is called when something may have been missed.
//   - A message by Queue or Tell is sent if, and only if, the transaction is
//     committed, and not before.
//   - A process that is alone sends nothing but a sign of life every ten seconds.
//   - No caller waits until a message is sent; the messages that wait are bounded.
//
// It needs a session of its own in the database: behind a pooler of connections it
// does not work in transaction mode, and processes then learn of each other's
// writes by looking.
package replica

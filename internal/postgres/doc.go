// Package postgres connects the server to PostgreSQL: the pool of connections and
// the migrations at start.
//
// It promises:
//
//   - A pool from [Open] is connected to PostgreSQL 14 or newer, to a UTF-8
//     database whose text sorts bytewise, with exactly the schema of this binary.
//     Anything else is refused with one line that states what to do.
//   - Several processes may open one database at the same time; one migrates,
//     the others wait for it.
//   - No statement, lock, idle transaction or wait for a connection of the pool hangs
//     for ever, not even if PostgreSQL stands still. After a crash or a restart of
//     PostgreSQL the pool drops its connections at the first that turns out dead.
//   - [Unavailable] distinguishes an outage, which passes, from a mistake, which does not.
//
// The package reads no table but goose's own. It logs no passwords.
//
// Tests use package postgrestest, which makes a database for each test.
package postgres

// Package backup writes everything that a server must not lose into a folder, and
// makes a server of such a folder again.
//
// Promises:
//
//   - A backup is the database as it was at one moment, every file that it refers
//     to, and the signing key. The server goes on meanwhile.
//   - It needs nothing of PostgreSQL but a connection: no programs, no privileges, the
//     same for a private cluster and for a database far away.
//   - A folder with the name that was asked for is a whole backup: it is written
//     under another name, synced to disk, and renamed.
//   - Each file's SHA-256 is known. A restore checks them all before it changes
//     anything, and never touches a database that is not empty.
//   - After a restore no client is refused, skips or sees twice what is new to it:
//     the journal goes on behind every token that the lost server has issued.
//   - Tokens for one use do not come back: they may have been used since.
//
// The folder:
//
//	manifest.json            what is there: sizes, numbers of rows, SHA-256
//	database/<table>.copy.zst  the rows of a table, as COPY writes them as text
//	media.txt                the files that the database refers to: SHA-256, bytes, key
//	media/content/ab/cdef…   each of them, at its key
//	signing.key
package backup

// Package keybackup keeps the keys of encrypted rooms that users back up on the server,
// encrypted by their clients: client-server API, "Server-side key backups".
//
// Promises:
//
//   - A user has any number of backups, each with a version. Keys are added to the newest
//     one alone; those of the others can be read and deleted.
//   - Of two keys for one session the better one is kept: [Key.betterThan].
//   - The etag of a backup changes if and only if its keys do, and the count is theirs.
//   - The keys of one request are stored all or not at all, in one statement.
//   - A version is never given to a second backup of the user, also after the server was
//     restored from a backup of its own: what a client has kept of it is about this one.
//   - What a user keeps is bounded: [MaxKeys], [MaxBytes] and maxBackups. A backup is
//     read part by part, however large it is.
//   - A user whose account is deactivated has no backup any more.
//
// Clients learn of backups by asking, not by /sync: nothing of this is in the journal.
//
// Data flow: Service.PutKeys ─▶ room_keys, and the count and etag of its row in
// key_backups, in one transaction that holds a lock of that row ─▶ Service.Keys.
package keybackup

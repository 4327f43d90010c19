// Package media is the content repository: files that users upload, and
// thumbnails of them. Client-server API, section "Content repository".
//
// # Promises
//
//   - A file is stored once, under the hash of its content, however often it is
//     uploaded. The table media has the name and the owner of each upload.
//   - Bytes stream: neither uploads nor downloads are held in memory.
//   - An answered upload is durable. One that breaks off, by the client or by an
//     error, leaves nothing behind; files that a killed process leaves, another removes
//     two hours later. No client ever gets a part of a file.
//   - Keys of objects are made of hashes and numbers only. No text of a client ever
//     becomes a part of a key or a path.
//   - A user's uploads are bounded in size, in sum and in the number of those that
//     are announced but have not come.
//   - Making a thumbnail is bounded in memory, by the picture's header before
//     anything is unpacked, and in time. No thumbnail is larger than its
//     source. They have few sizes, so that each source has a bounded number of them.
//   - Half of the processors make thumbnails; callers take turns at that, and are
//     charged for the time. A refusal of one caller is no reason to refuse another.
//   - A thumbnail has no metadata. It is the source itself only if that has none
//     either.
//   - While the storage is away, requests that need it get M_UNKNOWN (503) and the time
//     to try again. No connection to the database is held meanwhile.
//
// # Several processes
//
// Any number of processes may serve one database and one [Storage]. All that they must
// agree on is in the database; the memory of a process only saves work: which request
// makes a thumbnail for all that want it now, and which ones an upload
// wakes. A download that waits for an upload also reads the database by itself.
//
// # Flow of data
//
//	upload     body → scratch file (hashed on the way) → row in media_storing → object
//	           content/… → one transaction: quota, row in media, end of the row in
//	           media_storing → waiting downloads wake
//	download   row in media → content/…
//	thumbnail  row in media → header, from media_pictures or the object → thumbnails/…, or
//	           decode → scale → row in media_thumbnails → thumbnails/…
//
// The keys of objects:
//
//	content/ab/cdef…                a file, by the SHA-256 of its content
//	thumbnails/ab/cdef…/96x96-crop  a thumbnail of it
package media

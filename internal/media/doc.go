// Package media is the content repository: files that users upload, thumbnails of
// them, and previews of links. Client-server API, section "Content repository".
//
// # Promises
//
//   - A file is kept once, under the hash of its content, however often it is
//     uploaded. What an upload was called and who made it stands in the table media.
//   - Bytes stream: neither uploads nor downloads are held in memory.
//   - An answered upload is durable. One that breaks off, by the client, by an
//     error or by the end of the process at any moment, leaves nothing behind: what
//     could not be removed at once, Start removes.
//   - Names of files on disk are made of hashes and numbers only. Nothing that a
//     client sends ever becomes a part of a path.
//   - A user's uploads are bounded in size, in sum and in the number of those that
//     are announced but have not come.
//   - Making a thumbnail is bounded in memory, by what the picture's header says
//     before anything is unpacked, and in time. No thumbnail is larger than its
//     source, and each source keeps a bounded number of them.
//   - Pages and pictures for previews are fetched through internal/outgoing alone.
//
// # Flow of data
//
//	upload     body → temp/ (hashed on the way) → fsync → one transaction: quota,
//	           row in media, rename to content/ → waiting downloads wake
//	download   row in media → content/
//	thumbnail  row in media → header → thumbnails/, or decode → scale → thumbnails/
//	preview    url_previews, or page → OpenGraph → picture → media → url_previews
//
// The folder belongs to one process: Start removes what it takes for leftovers.
//
//	content/ab/cdef…             a file, by the SHA-256 of its content
//	thumbnails/ab/cdef…/96x96-crop  a thumbnail of it
//	temp/                        what is being received or made
package media

// Package blob stores the content of files under keys: in a folder, or in a bucket
// of a service that speaks the S3 protocol. It knows nothing of the meaning of the files.
//
// # Promises
//
//   - An object is there whole or not at all. No reader ever sees a part of one.
//   - An object is durable when Put has returned: the service has checked its hash, or
//     the disk has synced it.
//   - Bytes stream, both ways. Nothing is held in memory as a whole.
//   - Any number of processes may use one folder or one bucket at the same time.
//     There are no locks; renaming a file or completing a request is the one step
//     in which an object appears.
//   - The S3 service may be slow or away: a request that stalls is broken off and tried
//     again a few times, and fails then.
//
// A key is made of lower-case letters, digits, '-' and '/'. The
// caller must ensure that: no key comes from outside.
//
// # Layout
//
//	folder    root/<key>, and root/temp/ for files that are being received or made
//	bucket    prefix + <key>; files that are being received are in a local folder, without a name
package blob

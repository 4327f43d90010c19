// Package blob keeps the content of files under keys: in a folder, or in a bucket
// of a service that speaks the S3 protocol. It knows nothing of what the files are.
//
// # Promises
//
//   - An object is there whole or not at all. Nobody ever sees a part of one.
//   - What Put has returned from is durable, and the service that stores it has
//     checked, or is the disk that was told to sync.
//   - Bytes stream, both ways. Nothing is held in memory as a whole.
//   - Any number of processes may use one folder or one bucket at the same time.
//     There are no locks; renaming a file or completing a request is the one step
//     in which an object appears.
//   - The S3 service may be slow or away: a request that stalls is broken off, tried
//     again a few times, and then an error.
//
// A key is made of lower-case letters, digits, '-' and '/'. It is the caller's to
// make sure of that: no key comes from outside.
//
// # Layout
//
//	folder    root/<key>, and root/temp/ for what is being received or made
//	bucket    prefix + <key>; what is being received is in a local folder, without a name
package blob

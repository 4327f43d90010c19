// Package rendezvous has the sessions over which two devices of a person meet, one of which signs the other in by
// a QR code. What they send each other is encrypted; this server only keeps the last message. MSC4108 in its form of
// 2024, the one that clients in use speak.
//
// # Promises
//
//   - Everything is in the memory of one process, and gone when it ends: behind a load balancer both devices must
//     reach the same one.
//   - A write says which message it replaces, so that none is lost.
//   - Bounded are the bytes of a message (4 KiB), sessions (2,000; beyond it the one that expires first is forgotten) and those of
//     each address (20), and how long they live: a minute until the second device writes, then five
//     minutes after each write, and 15 minutes altogether.
package rendezvous

// Package recorder keeps what clients have sent, so that a test can look at it and wait for it.
//
//	an answer begins ─ Recorder.Add ─→ the newest 16 MiB of them ─ Recorder.Find ─→ those that a filter picks
//
// # Promises
//
//   - A request is there before its client gets the first byte of the answer.
//   - Requests have numbers in the order in which their answers began, from 1 on without gaps.
//     Those of requests that were forgotten or cleared are not used again.
//   - No access token, refresh token or password is ever in it.
package recorder

// Package ratelimit bounds how often strangers may try something. Client-server
// API, "Rate limiting".
//
// # Promises
//
//   - A [Limiter] holds one token bucket for each key, and no more than 10,000 of
//     them: beyond that, the key that was asked for least recently starts afresh.
//   - To be refused costs nothing: whoever comes back at the time that the answer
//     names is served.
//   - It lives in memory. Several processes on one database each count for
//     themselves, and a restart forgets.
//   - A nil *Limiter allows everything, so that limits can be switched off.
package ratelimit

// Package ratelimit bounds how often strangers may try something. Client-server
// API, "Rate limiting".
//
// [Limits] has the limits of a server, one for each [Kind] of work. There is one set of
// them, made from the configuration. The engine counts every request, by the kind in
// the route table; a service counts only what it alone can know: the events that a
// request makes and the bytes that are written, whose password was wrong, who gets a
// mail.
//
// # Promises
//
//   - A [Limiter] has one token bucket for each key, and no more than 10,000 of
//     them: beyond that, the key that was asked for least recently starts afresh.
//   - A refusal costs nothing: a caller that comes back at the time in the answer is
//     served.
//   - It lives in memory. Several processes on one database each count for
//     themselves, and a restart forgets.
//   - A nil *Limiter or *Limits allows everything, so that limits can be switched off.
package ratelimit

// Package ratelimit bounds how often strangers may try something. Client-server
// API, "Rate limiting".
//
// [Limits] holds the limits of a server, one for each [Kind] of work. There is one
// set of them, made from the configuration. Package api takes from it for every
// request, by the kind that the route table says; a service takes from it only what
// it alone can know: what events a request makes and how many bytes are written, whose
// password was wrong, who gets a mail.
//
// # Promises
//
//   - A [Limiter] holds one token bucket for each key, and no more than 10,000 of
//     them: beyond that, the key that was asked for least recently starts afresh.
//   - To be refused costs nothing: whoever comes back at the time that the answer
//     names is served.
//   - It lives in memory. Several processes on one database each count for
//     themselves, and a restart forgets.
//   - A nil *Limiter or *Limits allows everything, so that limits can be switched off.
package ratelimit

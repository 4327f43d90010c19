// Package httpapi is the HTTP engine: what all endpoints have in common. It knows
// requests, callers, limits, bodies and errors, and no endpoint; those are in
// internal/api, and reach it by a table of [Route].
//
// # The way of a request
//
//	observe    request ID, CORS and security headers, access log, metrics, panics (observe.go)
//	route      chi, on the path as it was sent (mount.go); 404 and 405 M_UNRECOGNIZED
//	serve      path parameters, query, access token, body: each checked once (serve.go);
//	           how often the caller may (work.go), and how much goes on at once (overload.go)
//	handler    decode, call one service method, return
//	respond    the answer or the error becomes JSON (respond.go), with gzip from 1 KiB on
//
// Files take two ways round: a handler that is marked as [Streaming] reads its body
// itself, by [Request.Stream], and an answer that is a http.Handler writes itself.
//
// # Promises
//
//   - Every answer carries the CORS headers, errors and 404 included, and OPTIONS
//     is answered for any path without running anything.
//   - A body is JSON whatever its Content-Type, at most [Options.MaxBodyBytes] long.
//   - No text that a client sent and a handler sees as a string holds a NUL or
//     invalid UTF-8; PostgreSQL takes neither.
//   - A *matrix.Error reaches the client; any other error is logged with the
//     request ID, and its text stays here.
//   - A client that reads or writes too slowly loses its connection; one that goes
//     away cancels the context of its request.
//   - What is too much is refused at once, and takes no memory: of one caller with
//     M_LIMIT_EXCEEDED, of all together with 503; either says when to come again.
//   - No access token is ever logged.
package httpapi

// Package httpapi is the HTTP engine, which all endpoints share. It handles requests,
// callers, limits, bodies and errors, and knows no endpoint; those are in internal/api,
// and reach it by a table of [Route].
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
// Files are exceptions: a handler that is marked as [Streaming] reads its body
// itself, by [Request.Stream], and an answer that is a http.Handler writes itself.
//
// # Promises
//
//   - Every answer carries the CORS headers, errors and 404 included, and OPTIONS
//     is answered for any path without running anything.
//   - A body is JSON whatever its Content-Type, at most [Options.MaxBodyBytes] long.
//   - No text that a client sent and a handler sees as a string holds a NUL or
//     invalid UTF-8; PostgreSQL accepts neither.
//   - A *matrix.Error reaches the client; any other error is logged with the
//     request ID, and the client gets none of its text.
//   - A client that reads or writes too slowly loses its connection; one that goes
//     away cancels the context of its request.
//   - Requests over a limit are refused at once, and use no memory: over that of one
//     caller with M_LIMIT_EXCEEDED, over that of all with 503; both with the time to try
//     again.
//   - No access token is ever logged.
package httpapi

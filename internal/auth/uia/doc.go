// Package uia is interactive authentication: sessions that stages complete, until what
// a request asks for is allowed. Client-server API, "User-interactive Authentication API".
//
// A stage is registered by whoever can prove something: passwords by internal/auth,
// addresses by internal/auth/threepid. Nothing here knows what a stage is about.
//
// # Promises
//
//   - The ID of a session is kept as its SHA-256, and the parameters of a request as a
//     MAC whose key is that ID.
//   - A session is used up in the transaction of the operation that it allowed, together
//     with what its stages have proved; so if that fails, the client need not
//     authenticate again.
//   - What somebody approves on a page is what is done: the page says what, and the
//     session is good for the same parameters only.
//   - At most 20 sessions of each user are kept, and 5,000 of all clients without an
//     access token, for 24 hours.
package uia

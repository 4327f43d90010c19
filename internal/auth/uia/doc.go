// Package uia is interactive authentication: sessions whose stages clients complete,
// until the operation of a request is allowed. Client-server API, "User-interactive Authentication API".
//
// A stage is registered by the package that checks its proof: passwords by internal/auth,
// addresses by internal/auth/threepid. This package knows nothing of the stages' contents.
//
// # Promises
//
//   - The ID of a session is stored as its SHA-256, and the parameters of a request as a
//     MAC whose key is that ID.
//   - A session is used up in the transaction of the operation that it allowed, together
//     with the proofs of its stages; so if that fails, the client need not
//     authenticate again.
//   - Only what a user approves on a page is done: the page describes it, and the
//     session is valid for the same parameters only.
//   - At most 20 sessions of each user are stored, and 5,000 of all clients without an
//     access token, for 24 hours.
package uia

// Package auth knows who somebody is: accounts, passwords, devices, access and
// refresh tokens, and interactive authentication. Client-server API, "Client
// Authentication", the legacy API.
//
// # Promises
//
//   - Secrets are never stored or logged. A password is kept as an argon2id hash
//     with its parameters; a token, also one for a login, and the ID of an
//     interactive session as SHA-256.
//   - What a 200 promises is one transaction: a registration is account, device and
//     tokens together, with the address that was proved on the way, and an
//     interactive session is used up in the transaction of the operation that it
//     allowed.
//   - A user ID is never given out twice; a deactivated account keeps its row.
//   - Once a logout, a deletion of devices, a change of password or a deactivation
//     has returned, this process no longer accepts the tokens concerned, and requests
//     that wait with one of them end. In another process on the same database that is
//     so once it has heard of it, or after 30 seconds.
//   - An unknown user costs as much time as a wrong password, and gets the same answer,
//     whether named by user ID or by an address.
//   - Reading never writes. When a device was last seen is gathered in memory and
//     written once a minute. The one exception is what the specification asks for:
//     the first use of a refreshed access token revokes its predecessors, which can be
//     refreshed for a minute more.
//   - What somebody approves on a page of an interactive session is what is done: the
//     page says what, and the session is good for the same parameters only.
//   - The guesses of others neither lock out nor hold up who was logged in to the
//     account, or was from the same address: wrong passwords are counted for each
//     caller, and callers take turns at hashing.
//   - Whatever strangers can make us keep has a bound: password hashing (two at
//     once, a hundred waiting), devices (1,000 for each user, after which the one
//     that has been silent for longest gives way), void tokens (five for each device),
//     OpenID tokens (100 for each user), interactive sessions, nonces, addresses from
//     which somebody was logged in, buckets of the rate limits, and the cache of tokens.
//
// # Flow of data
//
// The HTTP layer asks Authenticate on each request, which answers from memory in
// the usual case, and tells Seen from where the request came. Each of the other
// methods is one operation of the specification, with its rules. Methods that need
// interactive authentication take the auth object of the request as it was sent;
// where it does not suffice they return a *matrix.Error with status 401 whose
// Fields are the body that the client needs to go on.
//
// What is about e-mail addresses and phone numbers is asked of internal/auth/threepid,
// some of it within transactions of this package.
//
// Locks on rows are taken in the order account, device, tokens.
package auth

// Package auth knows accounts and passwords: who somebody is, and how to become
// somebody. Client-server API, "Client Authentication", the legacy API.
//
// Beside it are session (devices and tokens), uia (interactive authentication),
// threepid (addresses of accounts) and account (their rows, which all of these lock).
//
// # Promises
//
//   - Passwords are never stored or logged: kept is an argon2id hash with its
//     parameters.
//   - What a 200 promises is one transaction: a registration is account, device and
//     tokens together, with the address that was proved on the way, and an
//     interactive session is used up in the transaction of the operation that it
//     allowed.
//   - A user ID is never given out twice; a deactivated account keeps its row.
//   - An unknown user costs as much time as a wrong password, and gets the same answer,
//     whether named by user ID or by an address.
//   - The guesses of others neither lock out nor hold up who was logged in to the
//     account, or was from the same address: wrong passwords are counted for each
//     caller, and callers take turns at hashing.
//   - Whatever strangers can make us keep has a bound: password hashing (two at
//     once, a hundred waiting), nonces, addresses from which somebody was logged in, and
//     buckets of the rate limits.
//
// # Flow of data
//
// Each method is one operation of the specification, with its rules. Methods that need
// interactive authentication take the auth object of the request as it was sent;
// where it does not suffice they return a *matrix.Error with status 401 whose
// Fields are the body that the client needs to go on.
package auth

// Package auth makes, changes and ends accounts, and checks their passwords.
// Client-server API, "Client Authentication", the legacy API.
//
// Beside it are session (devices and tokens), uia (interactive authentication),
// threepid (addresses of accounts) and account (their rows, which all of these lock).
//
// # Promises
//
//   - Passwords are never stored or logged: an argon2id hash with its parameters is
//     stored.
//   - All that a 200 promises is in one transaction: a registration is account, device and
//     tokens together, with the address that was proved for it, and an
//     interactive session is used up in the transaction of the operation that it
//     allowed.
//   - A user ID is never used twice; a deactivated account keeps its row.
//   - An unknown user costs as much time as a wrong password, and gets the same answer,
//     whether named by user ID or by an address.
//   - The guesses of others neither lock out nor delay a user who is logged in to the
//     account, or was from the same address: wrong passwords are counted for each
//     caller, and callers take turns at hashing.
//   - All that strangers can make the server store or do is bounded: password hashing (two at
//     once, a hundred waiting), nonces, addresses from which users were logged in, and
//     buckets of the rate limits.
//
// # Flow of data
//
// Each method is one operation of the specification, with its rules. Methods that need
// interactive authentication take the auth object of the request as it was sent;
// if it does not suffice they return a *matrix.Error with status 401 whose
// Fields are the body that the client needs to go on.
package auth

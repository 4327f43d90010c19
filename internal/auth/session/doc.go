// Package session has the sessions of users: devices, access and refresh tokens, tokens
// for one login and for OpenID, and from where devices were seen. Client-server API, "Client
// Authentication".
//
// # Promises
//
//   - Only the SHA-256 of a token is stored.
//   - Once a logout, a deletion of devices, a change of password or a deactivation
//     has returned, this process no longer accepts the tokens concerned, and requests
//     that wait with one of them end. In another process on the same database this
//     holds once it has received a message of it, or after 30 seconds.
//   - Reading never writes. When a device was last seen is gathered in memory and
//     written once a minute. The specification demands one exception:
//     the first use of a refreshed access token revokes its predecessors, which can be
//     refreshed for a minute more.
//   - Bounded are devices (1,000 for each user, after which the one that has been unused
//     for longest is deleted), void tokens (five for each device), OpenID tokens (100 for
//     each user), and the cache of tokens.
//
// A session ends with its account and has its rights, so that the queries for tokens join
// the rows of internal/auth/account. Locks are taken in the order account, device, tokens.
package session

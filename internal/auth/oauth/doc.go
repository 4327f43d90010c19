// Package oauth is the OAuth 2.0 API: clients that register themselves, the consent of
// users, and the exchange of it for tokens. Client-server API, "OAuth 2.0 API".
//
// # Promises
//
//   - A grant is a device with its session of internal/auth/session: tokens, their refresh and
//     their end are that package's.
//   - Of codes and of the cookies of browsers only the SHA-256 is stored. A code is good
//     once, for a minute, for the client and the redirect URI that it was made for, with the
//     verifier of its challenge. One that comes a second time ends the session that the first
//     has made.
//   - An error is sent to a redirect URI only if the client is known and has registered that
//     URI; else a page shows it.
//   - A new password, or the end of an account, ends what was begun with the old one: codes,
//     and the sign-ins of browsers.
//   - Bounded are clients (10,000; those without a device go first), codes (20 for each
//     user), devices that wait for a code (10,000), browsers (50 for each user), and the bytes of each.
//
// # Flow of data
//
// A client registers (RegisterClient) and sends a browser to the authorization endpoint
// (Authorize). A person signs in there (SignIn), agrees (Grant), and the browser takes the code
// to the client, which exchanges it (Exchange). The pages and endpoints are in
// internal/api/pages and internal/api/client/oauth.go.
package oauth

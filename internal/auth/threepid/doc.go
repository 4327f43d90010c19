// Package threepid has the e-mail addresses and phone numbers of users. It checks that a
// user owns an address, stores it with the account, and binds it at an identity server.
// Client-server API, "Adding Account Administrative Contact Information"; appendices,
// "3PID Types".
//
// # Promises
//
//   - An address belongs to one account at most, in canonical form: case-folded
//     e-mail, E.164 phone numbers. A message goes to the canonical form and to no
//     other, so that an address that only looks like somebody's proves nothing.
//   - A validation session proves one address, for one purpose, to the client with its
//     client secret, for 24 hours and once: it is used up in the transaction of the
//     operation that it allows. Secrets and tokens are stored as SHA-256.
//   - The same send_attempt sends no second message. A message that could not be
//     sent counts as not attempted.
//   - A link in a mail changes nothing by being opened, since mail scanners open
//     links: it leads to a page with a button.
//   - Where the configuration conceals which addresses are registered, strangers get the
//     same answer either way, and only the owner of the address learns the truth, by a
//     message.
//   - Messages are limited by the client and by the address, and wrong tokens by the
//     session. At most 10,000 sessions are stored.
//   - An address that can set a new password was added with the old one. The other
//     addresses of an account get a message, and all of them one about a new password,
//     unless the process ends before the message is sent.
//   - No database connection is held while a mail server, a gateway or an identity
//     server is being waited for.
//
// # Flow of data
//
//	RequestEmail, RequestPhone → session stored → message with a token
//	Confirm (the page), Submit (submit_url) → session validated
//	Validated → ClaimNew or ClaimOwned in the transaction of a registration, an
//	addition to an account, or a change of password (internal/auth)
//	Bind, Unbind, Delete → identity server, by the guarded client
package threepid

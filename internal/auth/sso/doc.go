// Package sso signs users in by the accounts that they have elsewhere: at OpenID providers. Client-server
// API, "SSO client login/authentication".
//
// # Promises
//
//   - An identity is a provider and the subject that the provider never gives to anybody else. It is
//     bound to one account; names and addresses that a provider claims bind nothing.
//   - An identity is bound to an account that exists only for a person who knows the password of that
//     account. A new account gets a name that nobody has, which the person may choose.
//   - What a sign-in has to remember on its way is kept by the browser, sealed, for ten minutes: strangers
//     who begin sign-ins make the server keep nothing.
//   - A sign-in ends in the browser in which it was begun: state, nonce and the verifier of PKCE are in
//     its cookie, and the answer of the provider is worth nothing elsewhere.
//   - A login token is made only after the person has seen which site gets it, but for the sites that the
//     operator trusts. It is good for [TokenLifetime], once.
//   - When a provider says that a session has ended, the devices that logged in by it are logged out.
//   - Providers are asked only on behalf of a browser that goes on with a sign-in, with bounds on time and
//     bytes, and through internal/safehttp.
//
// # Flow of data
//
//	GET /login/sso/redirect ─▶ Begin: the provider's address, and a sealed cookie
//	     browser ─▶ provider ─▶ browser
//	GET [CallbackPath] ─▶ Return: code and cookie become an [Arrival]
//	     ─▶ Register or Link, if the identity is new ─▶ Finish: a login token for the app, or
//	        a completed stage of interactive authentication
//	POST [LogoutPath] ─▶ LogOut: devices of an ended session are logged out
package sso

// Package safehttp is the one way out of the server: every request to an address
// that others have chosen (the page behind a link, an identity server, a
// push gateway) goes through its Client.
//
// # Promises
//
//   - Only addresses of the public internet are connected to, and none of this
//     machine's own, unless the configuration lists their range. The address is
//     checked when the connection is made, after the name was resolved, so that a name
//     whose answer changes between check and use gains nothing by it, and for each
//     redirect again.
//   - A request ends in time, with its redirects and the body of its answer, and
//     the body has no more bytes than allowed, compressed or not.
//   - Proxies of the environment are not used: they would connect in place of the
//     server, unchecked.
//   - No Referer is sent, and no cookie is stored.
//
// # Flow of data
//
//	Client.Do → http.Client → net.Dialer → resolver → guard, for each address → connect
package safehttp

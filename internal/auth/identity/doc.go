// Package identity asks identity servers about people whose address outside Matrix
// is known: Identity service API, version 2.
//
// # Promises
//
//   - Addresses are looked up by their salted hash, never as they are.
//   - Every request goes through internal/safehttp, since strangers choose the server;
//     where the configuration lists identity servers, to no other.
//   - An answer that makes no sense is refused here: what is returned has the form
//     that the specification gives it.
package identity

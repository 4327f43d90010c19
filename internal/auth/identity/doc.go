// Package identity asks identity servers for the users of addresses outside Matrix:
// Identity service API, version 2.
//
// # Promises
//
//   - Addresses are looked up by their salted hash, never as they are.
//   - Every request goes through internal/safehttp, since strangers choose the server;
//     where the configuration lists identity servers, to no other.
//   - An answer that has not the form of the specification is refused here.
package identity

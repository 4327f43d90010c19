// Package matrix has the vocabulary of the protocol: identifiers, error codes, what
// every part may know of a session, and the one error type that may reach a client.
//
// It is a leaf: it imports nothing of ours, and everybody may import it.
// Nothing here reads a clock, a socket or a database.
package matrix

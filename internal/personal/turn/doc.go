// Package turn returns the credentials with which clients use a TURN server, which
// relays their calls: client-server API, "Voice over IP".
//
// With a secret shared with the TURN server, each user gets credentials that are
// valid for a while, without a request to it ("A REST API For Access To TURN
// Services"); else all users get the same.
package turn

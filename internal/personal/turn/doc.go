// Package turn gives clients what they need to use a TURN server, which relays their
// calls: client-server API, "Voice over IP".
//
// With a secret shared with the TURN server, each user gets credentials that are
// valid for a while and need not be told to anybody ("A REST API For Access To TURN
// Services"); else everybody gets the same.
package turn

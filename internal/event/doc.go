// Package event defines events: canonical JSON, hashes, signatures, event and
// room IDs, redaction and authorisation, for room versions 1 to 12.
//
// It is pure. Nothing here reads a clock, a socket or a database, and the same
// input has the same result, but for the random IDs of [NewRoomID] and of events
// of versions 1 and 2. A room version is a table of the differences between the
// versions ([Version]); all versions share one implementation, and each rule that
// differs reads the table.
//
// An event is made in one of three ways:
//
//	Proto  → Build        → *Event   made here: hashed, signed, ID worked out
//	bytes  → Parse        → *Event   from another server: checked, ID worked out
//	bytes  → ParseTrusted → *Event   from our own database: whole, and decoded
//
// and is then authorised by [Authorize] against a [State]. An [Event] never changes
// after that and may be used by any number of goroutines at once.
//
// Errors are *[matrix.Error] where a client or another server is to blame.
//
// It implements "Room Versions" (each version's page), the appendices "Signing
// JSON" and "Identifier Grammar", the server-server API, "PDUs" and "Signing
// Events", and the client-server API, "Size limits" and "Redactions".
//
// [matrix.Error]: homeserver/internal/matrix
package event

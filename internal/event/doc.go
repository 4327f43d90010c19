// Package event is what an event is: canonical JSON, hashes, signatures,
// event and room IDs, redaction and authorisation, for room versions 1 to 12.
//
// It is pure. Nothing here reads a clock, a socket or a database, and the same
// input gives the same answer, but for the random IDs of [NewRoomID] and of
// events of versions 1 and 2. A room version is a table of what differs
// ([Version]); there is one road for all versions, and each rule that differs
// asks the table.
//
// An event comes about in one of three ways:
//
//	Proto  → Build        → *Event   made here: hashed, signed, ID worked out
//	bytes  → Parse        → *Event   from another server: checked, ID worked out
//	bytes  → ParseTrusted → *Event   from our own database: only taken apart
//
// and is then judged by [Authorize] against a [State]. An [Event] never changes
// after that and may be used by any number of goroutines at once.
//
// Errors are *[matrix.Error] where a client or another server is to blame.
//
// The text that is implemented: "Room Versions" (each version's page),
// appendices "Signing JSON" and "Identifier Grammar", server-server API "PDUs"
// and "Signing Events", client-server API "Size limits" and "Redactions".
//
// [matrix.Error]: homeserver/internal/matrix
package event

package registration

import (
	"fmt"
	"io"
)

// Registration is an application service as its file describes it. Nobody changes it once
// it has been read. Application Service API, "Registration".
type Registration struct {
	// ID is the name of the service, which never changes.
	ID string
	// URL is where the service listens, without a slash at the end: http, https, or
	// unix:///path/to/socket. "": it is sent nothing.
	URL string
	// ASToken is what the service calls this server with.
	ASToken Token
	// HSToken is what this server calls the service with.
	HSToken Token
	// Sender is the user ID of the service itself.
	Sender string
	// Users, Aliases and Rooms are what the service is interested in.
	Users, Aliases, Rooms Namespaces
	// RateLimited says whether its users are limited in what they do, as others are. The
	// sender never is.
	RateLimited bool
	// Protocols are the networks that the service bridges.
	Protocols []string
	// ReceiveEphemeral says whether the service is sent typing notifications, receipts,
	// presence and messages to devices.
	ReceiveEphemeral bool
	// OldEphemeral says that it asks for that by the names of MSC2409 alone, and so expects
	// typing notifications, receipts and presence under the name of that time.
	OldEphemeral bool
	// DeviceChanges says whether the service is told of changes of devices and of the one-time
	// keys of its users: org.matrix.msc3202.
	DeviceChanges bool

	serverName string
	file       string
	lines      map[string]int // of the keys in the file
}

// OwnsUser reports whether a user is one of the service: local, and the sender or in a
// namespace of users.
func (r *Registration) OwnsUser(userID string) bool {
	return userID == r.Sender || isLocal(userID, '@', r.serverName) && r.Users.Match(userID)
}

// OwnsUserAlone reports the same of the sender and the exclusive namespaces of users.
func (r *Registration) OwnsUserAlone(userID string) bool {
	return userID == r.Sender || isLocal(userID, '@', r.serverName) && r.Users.MatchExclusive(userID)
}

// OwnsAlias reports whether a room alias is local and in a namespace of aliases.
func (r *Registration) OwnsAlias(alias string) bool {
	return isLocal(alias, '#', r.serverName) && r.Aliases.Match(alias)
}

// OwnsAliasAlone reports the same of the exclusive namespaces of aliases.
func (r *Registration) OwnsAliasAlone(alias string) bool {
	return isLocal(alias, '#', r.serverName) && r.Aliases.MatchExclusive(alias)
}

// Token is a secret that is never shown: printing it prints asterisks. Only a conversion to
// string reveals it.
type Token string

// Format implements [fmt.Formatter] for every verb, so that no format string can reveal the token.
func (Token) Format(f fmt.State, _ rune) {
	// A fmt.State that fails has nowhere to report it to.
	_, _ = io.WriteString(f, "********")
}

// MarshalText implements [encoding.TextMarshaler], which JSON and slog use.
func (Token) MarshalText() ([]byte, error) { return []byte("********"), nil }

package matrix

import (
	"context"
	"net/netip"
)

// Session is the author of a request: a user on a device. It is all that every part may
// know of the access token of the request. The zero value is nobody.
type Session struct {
	UserID, DeviceID string
	Admin, Guest     bool
}

// Client has the properties of a client known from the connection.
type Client struct {
	Address   netip.Addr
	UserAgent string
}

// CallerKey is the key of the caller in contexts, for a context that knows it anyway.
type CallerKey struct{}

// WithCaller returns a context with the caller for whom work is done: the user, or the
// address of an unknown client.
func WithCaller(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, CallerKey{}, caller)
}

// Caller returns the caller for whom work is done; "" for the server's own work.
func Caller(ctx context.Context) string {
	caller, _ := ctx.Value(CallerKey{}).(string)
	return caller
}

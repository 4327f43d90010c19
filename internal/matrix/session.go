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
	// Locked says that an administrator has locked the account, and Suspended that it is suspended.
	Locked, Suspended bool
	// OAuth says that the device is signed in by the OAuth 2.0 API.
	OAuth bool
	// AppService is the ID of the application service that acts as the user; "": the user acts.
	AppService string
}

// Payer returns the caller whose limits work counts for; "" where no limits hold: for the
// server's own work, and for that of an application service without limits.
func Payer(ctx context.Context) string {
	if AppServiceOf(ctx).Unlimited {
		return ""
	}
	return Caller(ctx)
}

// AppService is an application service that makes a request. The zero value is none.
type AppService struct {
	// ID is the service's, and Sender the user that it is where it acts as no other.
	ID, Sender string
	// Unlimited says that no rate limits hold for the request.
	Unlimited bool
}

// AppServiceKey is the key of the application service in contexts, for a context that knows
// it anyway.
type AppServiceKey struct{}

// WithAppService returns a context with the application service that makes the request.
func WithAppService(ctx context.Context, service AppService) context.Context {
	return context.WithValue(ctx, AppServiceKey{}, service)
}

// AppServiceOf returns the application service that makes the request; the zero value if
// none does.
func AppServiceOf(ctx context.Context) AppService {
	service, _ := ctx.Value(AppServiceKey{}).(AppService)
	return service
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

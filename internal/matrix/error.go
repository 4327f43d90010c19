package matrix

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Code is an errcode of the client-server API, section "Standard error
// response".
type Code string

// The error codes that this server answers with.
const (
	BadAlias                   Code = "M_BAD_ALIAS"
	BadJSON                    Code = "M_BAD_JSON"
	BadState                   Code = "M_BAD_STATE"
	BadStatus                  Code = "M_BAD_STATUS"
	CannotLeaveServerNotice    Code = "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
	ConnectionFailed           Code = "M_CONNECTION_FAILED"
	ConnectionTimeout          Code = "M_CONNECTION_TIMEOUT"
	DuplicateAnnotation        Code = "M_DUPLICATE_ANNOTATION"
	Exclusive                  Code = "M_EXCLUSIVE"
	Forbidden                  Code = "M_FORBIDDEN"
	GuestAccessForbidden       Code = "M_GUEST_ACCESS_FORBIDDEN"
	IncompatibleRoomVersion    Code = "M_INCOMPATIBLE_ROOM_VERSION"
	InvalidParam               Code = "M_INVALID_PARAM"
	InvalidRoomState           Code = "M_INVALID_ROOM_STATE"
	InvalidSignature           Code = "M_INVALID_SIGNATURE"
	InvalidUsername            Code = "M_INVALID_USERNAME"
	InviteBlocked              Code = "M_INVITE_BLOCKED"
	LimitExceeded              Code = "M_LIMIT_EXCEEDED"
	MissingParam               Code = "M_MISSING_PARAM"
	MissingToken               Code = "M_MISSING_TOKEN"
	NotFound                   Code = "M_NOT_FOUND"
	NotJSON                    Code = "M_NOT_JSON"
	NoValidSession             Code = "M_NO_VALID_SESSION"
	RoomInUse                  Code = "M_ROOM_IN_USE"
	ServerNotTrusted           Code = "M_SERVER_NOT_TRUSTED"
	SessionExpired             Code = "M_SESSION_EXPIRED"
	ThreepidAuthFailed         Code = "M_THREEPID_AUTH_FAILED"
	ThreepidDenied             Code = "M_THREEPID_DENIED"
	ThreepidInUse              Code = "M_THREEPID_IN_USE"
	ThreepidMediumNotSupported Code = "M_THREEPID_MEDIUM_NOT_SUPPORTED"
	ThreepidNotFound           Code = "M_THREEPID_NOT_FOUND"
	TokenIncorrect             Code = "M_TOKEN_INCORRECT" //nolint:gosec // G101: the name of an error, not a secret
	TooLarge                   Code = "M_TOO_LARGE"
	Unauthorized               Code = "M_UNAUTHORIZED"
	UnableToAuthoriseJoin      Code = "M_UNABLE_TO_AUTHORISE_JOIN"
	UnableToGrantJoin          Code = "M_UNABLE_TO_GRANT_JOIN"
	Unknown                    Code = "M_UNKNOWN"
	UnknownDevice              Code = "M_UNKNOWN_DEVICE"
	UnknownPos                 Code = "M_UNKNOWN_POS"
	UnknownToken               Code = "M_UNKNOWN_TOKEN"
	Unrecognized               Code = "M_UNRECOGNIZED"
	UnsupportedRoomVersion     Code = "M_UNSUPPORTED_ROOM_VERSION"
	URLNotSet                  Code = "M_URL_NOT_SET"
	UserDeactivated            Code = "M_USER_DEACTIVATED"
	UserLocked                 Code = "M_USER_LOCKED"
	UserSuspended              Code = "M_USER_SUSPENDED"
	UserInUse                  Code = "M_USER_IN_USE"
	WeakPassword               Code = "M_WEAK_PASSWORD"
	WrongRoomKeysVersion       Code = "M_WRONG_ROOM_KEYS_VERSION"
)

// Error is an error that may be shown to a client. Any other error is internal:
// it is logged, and its text never leaves the server.
type Error struct {
	// Code is empty where interactive authentication is asked for and nothing has
	// gone wrong yet: the answer has neither errcode nor error then.
	Code    Code
	Message string // for people; plain English, no secrets

	// Status is the HTTP status; 0 means the usual one of the code.
	Status int
	// RetryAfter, where it is not 0, is the time after which the client may try again:
	// it becomes retry_after_ms (for M_LIMIT_EXCEEDED) and the header Retry-After.
	RetryAfter time.Duration
	// Fields are further members of the answer, such as soft_logout.
	Fields map[string]any
}

// Errorf makes an error with a code and a message for people.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// TooMany returns the M_LIMIT_EXCEEDED that says when to come back.
func TooMany(wait time.Duration) *Error {
	err := Errorf(LimitExceeded, "Too many requests: try again later")
	err.RetryAfter = min(wait, math.MaxInt32*time.Millisecond)
	return err
}

// ErrLocked returns the answer to a user whose account an administrator has locked. Client-server API, "Account locking".
func ErrLocked() *Error {
	err := Errorf(UserLocked, "This account has been locked")
	err.Fields = map[string]any{"soft_logout": true}
	return err
}

// ErrSuspended returns the answer to a user whose account is suspended, for what is not allowed then. Client-server API,
// "Account suspension".
func ErrSuspended() *Error {
	return Errorf(UserSuspended, "You cannot perform this action while suspended")
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// HTTPStatus returns the status that the error is answered with.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case MissingToken, Unauthorized, UnknownToken, UserLocked:
		return http.StatusUnauthorized
	case CannotLeaveServerNotice, Forbidden, GuestAccessForbidden, InviteBlocked, ThreepidAuthFailed, ThreepidDenied, UserDeactivated, UserSuspended, WrongRoomKeysVersion:
		return http.StatusForbidden
	case NotFound, NoValidSession, Unrecognized:
		return http.StatusNotFound
	case BadStatus, ConnectionFailed:
		return http.StatusBadGateway
	case ConnectionTimeout:
		return http.StatusGatewayTimeout
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case LimitExceeded:
		return http.StatusTooManyRequests
	}
	return http.StatusBadRequest
}

// IsCode reports whether err is, or wraps, an Error with the code.
func IsCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

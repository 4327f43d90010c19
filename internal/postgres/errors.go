package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Codes of PostgreSQL (its appendix A) outside the classes 08 and 53 that mean
// "not now".
const (
	codeIOError             = "58030"
	codeAdminShutdown       = "57P01"
	codeCrashShutdown       = "57P02"
	codeCannotConnectNow    = "57P03"
	codeIdleSession         = "57P05" // idle_session_timeout
	codeIdleInTransaction   = "25P03" // idle_in_transaction_session_timeout: this process stood still
	codeReadOnlyTransaction = "25006" // a standby, while the roles of a pair change
	codeQueryCanceled       = "57014" // statement_timeout
	codeLockNotAvailable    = "55P03" // lock_timeout
)

// Unavailable reports whether err means that PostgreSQL cannot serve at the
// moment although nothing is wrong with the request: it is down, starting or
// stopping, the connection was lost, it has no room left (disk, memory,
// connections), it is too slow, or no connection of the pool came free before the
// deadline. The API answers such an error with 503 and Retry-After.
//
// A context that was cancelled is not an outage: there the caller went away.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return unavailableCode(pgErr.Code)
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, outage := range []error{
		context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		pgconn.ErrConnClosed, puddle.ErrClosedPool,
	} {
		if errors.Is(err, outage) {
			return true
		}
	}
	return false
}

// unavailableCode reports whether an answer of PostgreSQL with this code is an
// outage.
func unavailableCode(code string) bool {
	switch code {
	case codeIOError, codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow, codeIdleSession,
		codeIdleInTransaction, codeReadOnlyTransaction, codeQueryCanceled, codeLockNotAvailable:
		return true
	}
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53")
}

// oneLine shows an error of several lines, such as one for each address that was
// tried, in one.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

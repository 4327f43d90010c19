package matrixtest

import (
	"errors"
	"fmt"
	"testing"

	"homeserver/internal/matrix"
)

// WantCode checks that an error is one that a client sees, with the errcode, and returns it
// for further checks; it never returns nil. An empty code means that there must be no error.
// The failure begins with about.
func WantCode(t testing.TB, err error, code matrix.Code, about ...any) *matrix.Error {
	t.Helper()
	e, ok := errors.AsType[*matrix.Error](err)
	if !ok {
		e = &matrix.Error{}
	}
	switch {
	case code == "" && err != nil:
		t.Errorf("%sgot the error %v, want none", prefix(about), err)
	case code != "" && e.Code != code:
		t.Errorf("%sgot the error %v, want %s", prefix(about), err, code)
	}
	return e
}

// WantStatus is WantCode that checks the status of the answer, too.
func WantStatus(t testing.TB, err error, code matrix.Code, status int, about ...any) *matrix.Error {
	t.Helper()
	e := WantCode(t, err, code, about...)
	if got := e.HTTPStatus(); got != status {
		t.Errorf("%sgot the status %d, want %d", prefix(about), got, status)
	}
	return e
}

func prefix(about []any) string {
	if len(about) == 0 {
		return ""
	}
	return fmt.Sprint(about...) + ": "
}

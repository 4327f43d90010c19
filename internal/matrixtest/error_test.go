package matrixtest_test

import (
	"errors"
	"fmt"
	"testing"

	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// complaints is a test that goes on after failures, and collects them.
type complaints struct {
	testing.TB
	list []string
}

func (c *complaints) Errorf(format string, args ...any) {
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

func TestWantCodeComplains(t *testing.T) {
	t.Parallel()
	notFound := fmt.Errorf("wrapped: %w", matrix.Errorf(matrix.NotFound, "no room"))
	for _, test := range []struct {
		err  error
		code matrix.Code
		want string
	}{
		{nil, "", ""},
		{notFound, matrix.NotFound, ""},
		{nil, matrix.NotFound, "a room 1: got the error <nil>, want M_NOT_FOUND"},
		{notFound, matrix.Forbidden, "a room 1: got the error wrapped: M_NOT_FOUND: no room, want M_FORBIDDEN"},
		{notFound, "", "a room 1: got the error wrapped: M_NOT_FOUND: no room, want none"},
		{errors.New("internal"), matrix.NotFound, "a room 1: got the error internal, want M_NOT_FOUND"},
	} {
		c := &complaints{TB: t}
		if e := matrixtest.WantCode(c, test.err, test.code, "a room ", 1); e == nil || fmt.Sprint(c.list) != "["+test.want+"]" {
			t.Errorf("got %v and %q, want %q", e, c.list, test.want)
		}
	}
	c := &complaints{TB: t}
	matrixtest.WantStatus(c, notFound, matrix.NotFound, 404)
	matrixtest.WantStatus(c, notFound, matrix.NotFound, 400)
	if want := "[got the status 404, want 400]"; fmt.Sprint(c.list) != want {
		t.Errorf("got %v, want %v", c.list, want)
	}
}

package threepid_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"homeserver/internal/auth/threepid"
	"homeserver/internal/matrix"
	"homeserver/internal/matrixtest"
)

// askText asks for a text message to the nth of many numbers.
func (h *env) askText(t *testing.T, n int) error {
	_, err := h.RequestPhone(t.Context(), threepid.ForAccount, phone(fmt.Sprintf("07700 900%03d", n), 1))
	return err
}

func TestTextMessagesOfTheWholeServerAreBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newEnv(t, func(o *threepid.Options) {
		o.TextCaps = threepid.Caps{PerHour: 2, PerDay: 3}
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	h.gateway.Answer(500)
	for i := range 3 { // what was not sent does not count
		matrixtest.WantCode(t, h.askText(t, i), matrix.Unknown)
	}
	h.gateway.Answer(200)
	must(t, h.askText(t, 0))
	must(t, h.askText(t, 1))
	for range 2 {
		e := matrixtest.WantCode(t, h.askText(t, 2), matrix.LimitExceeded)
		if e.RetryAfter <= 0 || e.RetryAfter > time.Hour {
			t.Errorf("come again after %v", e.RetryAfter)
		}
	}
	if n := strings.Count(log.String(), "sms.max_per_hour"); n != 1 {
		t.Errorf("%d lines in the log: %s", n, log.String())
	}
	h.Pass(time.Hour)
	must(t, h.askText(t, 3))
	matrixtest.WantCode(t, h.askText(t, 4), matrix.LimitExceeded)
	if !strings.Contains(log.String(), "sms.max_per_day") {
		t.Errorf("the log is %s", log.String())
	}
	h.Pass(23 * time.Hour) // the first hour is over
	must(t, h.askText(t, 5))
	if n := len(h.gateway.Messages()); n != 4 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestTextMessagesAtOnceDoNotExceedTheBound(t *testing.T) {
	t.Parallel()
	h := newEnv(t, func(o *threepid.Options) { o.TextCaps = threepid.Caps{PerHour: 3} })
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { _ = h.askText(t, i) }) // most are refused
	}
	all.Wait()
	if n := len(h.gateway.Messages()); n != 3 {
		t.Errorf("%d messages were sent", n)
	}
}

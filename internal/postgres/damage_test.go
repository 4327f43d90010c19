package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestEachRowIsToldOfOnce(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	l := NewDamage(slog.New(slog.NewTextHandler(&text, nil)))
	for range 3 {
		l.Found(t.Context(), "event $1", errors.New("no JSON"))
		l.Found(t.Context(), "event $2", errors.New("no JSON"))
	}
	for _, row := range []string{"event $1", "event $2"} {
		if n := strings.Count(text.String(), row); n != 1 {
			t.Errorf("%s is told of %d times: %s", row, n, &text)
		}
	}
	if !strings.Contains(text.String(), "no JSON") {
		t.Errorf("the reason is missing: %s", &text)
	}
}

func TestMemoryOfWhatWasToldIsBounded(t *testing.T) {
	t.Parallel()
	l := NewDamage(slog.New(slog.DiscardHandler))
	for i := range 3*told + 1 {
		l.Found(t.Context(), fmt.Sprint(i), errors.New("no JSON"))
		if len(l.told) > told {
			t.Fatalf("%d rows are remembered", len(l.told))
		}
	}
	if len(l.told) == 0 {
		t.Error("nothing is remembered")
	}
}

func TestNobodyIsTold(t *testing.T) {
	t.Parallel()
	NewDamage(nil).Found(t.Context(), "event $1", errors.New("no JSON"))
}

package server

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes keeps what each call of Write was given.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestLinesOfTheLogAreWrittenTogetherInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got writes
		log := NewLogWriter(&got)
		write := func(lines ...string) {
			for _, line := range lines {
				if n, err := log.Write([]byte(line)); n != len(line) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		wait := func() {
			<-time.After(logDelay) // of the bubble
			synctest.Wait()
		}
		write("one\n", "two\n")
		if len(got) != 0 {
			t.Errorf("written at once: %q", got)
		}
		wait()
		write("three\n")
		wait()
		long := strings.Repeat("x", maxLogBytes) + "\n"
		write("four\n", long, "five\n")
		log.Flush()
		wait()
		if want := []string{"one\ntwo\n", "three\n", "four\n" + long, "five\n"}; !slices.Equal(got, want) {
			t.Errorf("written: %q", got)
		}
	})
}

func TestNoLineWaitsOnceTheEndHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got writes
		log := NewLogWriter(&got)
		for _, line := range []string{"one\n", "two\n"} {
			if _, err := log.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
			log.Hurry()
		}
		if want := []string{"one\n", "two\n"}; !slices.Equal(got, want) {
			t.Errorf("written: %q", got)
		}
		if _, _ = log.Write([]byte("three\n")); len(got) != 3 {
			t.Errorf("written: %q", got)
		}
	})
}

func TestWarningsAreWrittenAtOnceWithWhatCameBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got writes
		lines := NewLogWriter(&got)
		log := slog.New(lines.Handler(slog.NewTextHandler(lines, nil))).With("part", "test").WithGroup("about")
		log.Info("first")
		if len(got) != 0 {
			t.Errorf("written at once: %q", got)
		}
		log.Warn("second", "n", 2)
		if len(got) != 1 || !strings.Contains(got[0], "first") || !strings.Contains(got[0], "second part=test about.n=2") {
			t.Errorf("written: %q", got)
		}
	})
}

package progress

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

// newDrawn returns a bar that draws as on a terminal, and what it has written.
func newDrawn(label string, total int64) (*Bar, *strings.Builder) {
	var out strings.Builder
	b := New(&out, label, total)
	b.terminal = true
	return b, &out
}

// last returns the text that is left on the line of a terminal, without the texts before it.
func last(out *strings.Builder) string {
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\r")
	return lines[len(lines)-1]
}

func TestWithoutATerminalOneLineStandsAtTheEnd(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	b := New(&out, "Reading", 100)
	for range 100 {
		b.Add(1)
	}
	if out.Len() > 0 {
		t.Errorf("wrote %q before the end", out.String())
	}
	b.Done()
	b.Done()
	b.Stop()
	if !regexp.MustCompile(`^Reading: done in \d+\.\d s\n$`).MatchString(out.String()) {
		t.Errorf("wrote %q", out.String())
	}
}

func TestWorkThatIsBrokenOffIsNotSaidToBeDone(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	b := New(&out, "Reading", 100)
	b.Add(40)
	b.Stop()
	b.Done()
	if out.Len() > 0 {
		t.Errorf("wrote %q", out.String())
	}

	drawn, out2 := newDrawn("Reading", 100)
	drawn.Add(40)
	drawn.Stop()
	if got := last(out2); !strings.Contains(got, " 40 %") || !strings.HasSuffix(out2.String(), "\n") {
		t.Errorf("the last line is %q", got)
	}
}

func TestBarFillsUp(t *testing.T) {
	t.Parallel()
	b, out := newDrawn("Reading", 10)
	b.Add(5)
	if got := last(out); !strings.Contains(got, "[###############...............]  50 %") {
		t.Errorf("half done: %q", got)
	}
	b.Add(5)
	b.Done()
	if got := last(out); !strings.Contains(got, "["+strings.Repeat("#", cells)+"] 100 %") {
		t.Errorf("done: %q", got)
	}
}

func TestAnEstimateThatWasTooSmallIsNotPassed(t *testing.T) {
	t.Parallel()
	b, out := newDrawn("Reading", 10)
	b.Add(5000)
	if got := last(out); !strings.Contains(got, " 99 %") {
		t.Errorf("got %q", got)
	}
	b.Done()
	if got := last(out); !strings.Contains(got, "100 %") {
		t.Errorf("got %q", got)
	}
}

func TestWithoutATotalWhatIsDoneIsANumber(t *testing.T) {
	t.Parallel()
	b, out := newDrawn("Reading", 0)
	b.Add(1234)
	b.Done()
	if got := last(out); !strings.Contains(got, "1234") || strings.Contains(got, "%") {
		t.Errorf("got %q", got)
	}
}

func TestManyGoroutinesMayWorkOnOneBar(t *testing.T) {
	t.Parallel()
	b, out := newDrawn("Reading", 1000)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				b.Add(1)
			}
		})
	}
	group.Wait()
	if got := b.share(); got != 0.999 {
		t.Errorf("%v of the work is done", got)
	}
	b.Done()
	// A picture is drawn now and then, not for each of a thousand steps.
	if n := strings.Count(out.String(), "\r"); n > 500 {
		t.Errorf("drew %d times", n)
	}
}

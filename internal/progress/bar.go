package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// redraw is the least time between two pictures of a bar.
	redraw = 100 * time.Millisecond
	// cells is how wide a bar is, and labelWidth how wide its label is at least, so
	// that the bars of several pieces of work are aligned.
	cells, labelWidth = 30, 24
)

// Bar is the progress of one piece of work. Its methods may be called concurrently.
type Bar struct {
	w        io.Writer
	terminal bool
	label    string
	started  time.Time

	mu    sync.Mutex
	total int64
	done  int64
	drawn time.Time
	ended bool
}

// New begins to show progress towards the total, which may be an estimate: the bar
// never passes its end before Done. A total that is not positive is not known, and the
// progress is shown as a number. Only on a terminal is there a bar.
func New(w io.Writer, label string, total int64) *Bar {
	b := &Bar{w: w, terminal: isTerminal(w), label: label, total: total, started: time.Now()}
	b.Add(0)
	return b
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Add adds n to what has been done.
func (b *Bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done += n
	if !b.terminal || b.ended || time.Since(b.drawn) < redraw {
		return
	}
	b.drawn = time.Now()
	b.print("\r" + b.picture(b.share()))
}

// Done shows that the work is finished, and how long it took. It does nothing after
// Done or Stop.
func (b *Bar) Done() {
	b.end(func() string {
		if b.terminal {
			return "\r" + b.picture(1) + "\n"
		}
		return fmt.Sprintf("%s: done in %s\n", b.label, b.elapsed())
	})
}

// Stop ends the bar of work that was broken off, and leaves it as it is. It does
// nothing after Done, so that it can be deferred.
func (b *Bar) Stop() {
	b.end(func() string {
		if b.terminal {
			return "\r" + b.picture(b.share()) + "\n"
		}
		return ""
	})
}

func (b *Bar) end(last func() string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.ended = true
	b.print(last())
}

// share returns how much of the work is done, less than 1 as long as Done was not called.
func (b *Bar) share() float64 {
	if b.total <= 0 {
		return 0
	}
	return min(float64(b.done)/float64(b.total), 0.999)
}

func (b *Bar) picture(share float64) string {
	if b.total <= 0 {
		return fmt.Sprintf("%-*s  %d  %s", labelWidth, b.label, b.done, b.elapsed())
	}
	full := int(share * cells)
	return fmt.Sprintf("%-*s  [%s%s] %3d %%  %s", labelWidth, b.label,
		strings.Repeat("#", full), strings.Repeat(".", cells-full), int(share*100), b.elapsed())
}

func (b *Bar) elapsed() string {
	d := time.Since(b.started)
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%-6s", d.Round(time.Second)) // covers the longest before it
}

// print writes a text; an error of that has nowhere to go.
func (b *Bar) print(text string) { _, _ = io.WriteString(b.w, text) }

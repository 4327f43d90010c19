package journal

import (
	"sync"
	"testing"
)

func TestTicksGoOn(t *testing.T) {
	t.Parallel()
	c := NewTicks()
	if c.Now() != 1 || c.Next() != 2 || c.Now() != 2 || c.Next() != 3 {
		t.Errorf("the clock is at %d", c.Now())
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Next()
			}
		})
	}
	all.Wait()
	if c.Now() != 803 {
		t.Errorf("the clock is at %d", c.Now())
	}
}

func TestTicksInTokens(t *testing.T) {
	t.Parallel()
	c, other := NewTicks(), NewTicks()
	for range 3 {
		c.Next()
		other.Next()
	}
	for tick := range Tick(5) {
		if got := c.Parse(c.Format(tick, "")); got != tick {
			t.Errorf("%d is read as %d", tick, got)
		}
	}
	if got := c.Format(Elsewhere, "other.7"); got != "other.7" {
		t.Errorf("who has not been told anything here gets %q", got)
	}
	if got := c.Parse(""); got != 0 {
		t.Errorf("no tick is read as %d", got)
	}
	for _, text := range []string{
		".", "1", other.Format(2, ""), c.Format(5, ""), c.instance, c.instance + ".", c.instance + ".x",
		c.instance + ".99999999999999999999", "x" + c.Format(2, ""), "_", "_" + c.instance,
	} {
		if got := c.Parse(text); got != Elsewhere {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestTokensRememberOtherProcesses(t *testing.T) {
	t.Parallel()
	clocks := make([]*Ticks, 2*maxParts)
	text := ""
	for i := range clocks {
		clocks[i] = NewTicks()
		for range i + 1 {
			clocks[i].Next()
		}
		text = clocks[i].Format(clocks[i].Now(), text)
		text = clocks[i].Format(clocks[i].Now(), text) // again: it stands there once
	}
	for i, c := range clocks {
		want := c.Now()
		if i < len(clocks)-maxParts {
			want = Elsewhere
		}
		if got := c.Parse(text); got != want {
			t.Errorf("the tick of process %d is %d in %q, want %d", i, got, text, want)
		}
	}
}

package ephemeral

import (
	"sync"
	"testing"
)

func TestTicksGoOn(t *testing.T) {
	t.Parallel()
	c := NewClock()
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
	c, other := NewClock(), NewClock()
	for range 3 {
		c.Next()
		other.Next()
	}
	for tick := range Tick(5) {
		if got := c.Parse(c.Format(tick)); got != tick {
			t.Errorf("%d is read as %d", tick, got)
		}
	}
	for _, text := range []string{
		"", ".", "1", other.Format(2), c.Format(5), c.Format(-1), c.instance, c.instance + ".", c.instance + ".x",
		c.instance + ".99999999999999999999", "x" + c.Format(2),
	} {
		if got := c.Parse(text); got != 0 {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTimersFireWhenTheClockIsMovedBeyondThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c Clock
		begun, real := c.Now(), time.Now()
		soon, late := c.NewTimer(time.Hour), c.NewTimer(3*time.Hour)
		called := make(chan struct{})
		c.AfterFunc(time.Hour, func() { close(called) })
		stopped := c.NewTimer(time.Hour)
		if !stopped.Stop() || stopped.Stop() {
			t.Error("Stop does not know what waits")
		}
		c.Advance(2 * time.Hour)
		<-called
		if at := <-soon.C; at.Sub(begun) != 2*time.Hour {
			t.Errorf("it fired after %v", at.Sub(begun))
		}
		synctest.Wait()
		select {
		case <-late.C:
			t.Error("a timer fires before its time")
		case <-stopped.C:
			t.Error("a stopped timer fires")
		default:
		}
		<-late.C // by the real time
		if waited := time.Since(real); waited != time.Hour {
			t.Errorf("it waited for %v, want the hour that was left", waited)
		}
		if soon.Reset(time.Minute) || !soon.Reset(2*time.Minute) {
			t.Error("Reset does not know what waits")
		}
		c.Advance(time.Minute)
		c.Advance(-time.Hour)
		synctest.Wait()
		select {
		case <-soon.C:
			t.Error("it fires at its first time")
		default:
		}
		c.Advance(time.Minute)
		<-soon.C
	})
}

func TestTickerFiresAgainAndAgainAndOnceForALongMove(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*Clock{"a clock": {}, "the real time": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ticks, begun := c.NewTicker(time.Hour), time.Now()
				for range 3 {
					<-ticks.C
				}
				if waited := time.Since(begun); waited != 3*time.Hour {
					t.Errorf("three times took %v", waited)
				}
				if c != nil {
					c.Advance(10 * time.Hour)
					<-ticks.C
				}
				<-time.After(30 * time.Minute)
				select {
				case <-ticks.C:
					t.Error("it fires before its time")
				default:
				}
				if !ticks.Stop() {
					t.Error("it was not waiting")
				}
				<-time.After(10 * time.Hour)
				if len(ticks.C) != 0 {
					t.Error("it fires after it was stopped")
				}
			})
		})
	}
}

func TestNoClockIsTheRealTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var none *Clock
		begun := none.Now()
		timer := none.NewTimer(time.Hour)
		called := make(chan struct{})
		none.AfterFunc(time.Minute, func() { close(called) })
		<-called
		<-timer.C
		if waited := none.Now().Sub(begun); waited != time.Hour {
			t.Errorf("waited for %v", waited)
		}
		timer.Reset(time.Hour)
		if !timer.Stop() {
			t.Error("it was not waiting")
		}
	})
}

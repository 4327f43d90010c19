package matrixtest

import "testing"

func TestUntilAsksUntilTheAnswerIsYes(t *testing.T) {
	t.Parallel()
	asked := 0
	Until(t, "three questions", func() bool { asked++; return asked == 3 })
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

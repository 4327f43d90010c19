package devkit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestExitOfAProcessIsReported(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- awaitExit(t.Context(), cmd.Process.Pid) }()
	select {
	case err := <-exited:
		t.Fatalf("reported while the process runs (%v)", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestWaitForAParentEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- awaitExit(ctx, os.Getppid()) }()
	cancel()
	if err := <-ended; errors.Is(err, errors.ErrUnsupported) {
		t.Error("the system does not report the end of processes")
	}
}

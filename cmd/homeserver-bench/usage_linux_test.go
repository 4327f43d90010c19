package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	t.Parallel()
	before := processorTime(os.Getpid())
	for processorTime(os.Getpid()) < before+time.Millisecond {
		_ = make([]byte, 1<<10) // work of some kind
	}
	if before <= 0 {
		t.Errorf("took %v at first", before)
	}
}

func TestTheTimeOfAFamilyHasThatOfItsChildren(t *testing.T) {
	t.Parallel()
	// A shell that works, starts another one that does too, and waits for it.
	const script = `work() { i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; }; work; (work); echo done; read _`
	cmd := exec.Command("sh", "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if own, all := processorTime(pid), familyTime(pid); own <= 0 || all <= own {
		t.Errorf("the shell took %v, with what it started %v", own, all)
	}
	if parent := parentOf(pid); parent != os.Getpid() {
		t.Errorf("its parent is %d", parent)
	}
	if bytes, err := resident(pid); err != nil || bytes < 100<<10 {
		t.Errorf("it takes %d bytes: %v", bytes, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // read has failed
	if took := processorTime(pid); took != 0 {
		t.Errorf("after its end it took %v", took)
	}
	if _, err := resident(pid); err == nil {
		t.Error("after its end it takes memory")
	}
	if parent := parentOf(pid); parent != 0 {
		t.Errorf("after its end its parent is %d", parent)
	}
}

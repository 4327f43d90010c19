package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime reads the clock of the processor time of a process, which counts
// all its threads, those that have ended too. It is 0 once the process has ended.
func processorTime(pid int) time.Duration {
	const clockOfScheduler, shift = 2, 3 // as clock_getcpuclockid(3) makes them
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<shift|clockOfScheduler), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// resident reads the memory of a process, in bytes.
func resident(pid int) (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(content, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, fmt.Errorf("process %d has no memory", pid)
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return kib << 10, err
}

// The places of numbers in /proc/PID/stat, counted from the one after the name of
// the program.
const (
	statParent        = 1
	statEndedChildren = 13 // their time as users, and after it that of the system
)

// stat reads one number of the kernel's statistics of a process; 0 if the process has
// ended.
func stat(pid, place int) int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program, in brackets, may hold anything.
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) <= place {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[place])) // 0 for what is no number
	return n
}

// parentOf returns which process started another one.
func parentOf(pid int) int { return stat(pid, statParent) }

// familyTime is the processor time of a process and of those that it has started,
// the ended ones too.
func familyTime(pid int) time.Duration {
	const tick = 10 * time.Millisecond // of what is told of the ended ones
	total := processorTime(pid)
	total += time.Duration(stat(pid, statEndedChildren)+stat(pid, statEndedChildren+1)) * tick
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
	for _, folder := range folders {
		if child, err := strconv.Atoi(filepath.Base(folder)); err == nil && parentOf(child) == pid {
			total += processorTime(child)
		}
	}
	return total
}

// load reads how many processes wanted a processor in the last minute, on average.
func load() (average float64) {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(content), &average) // 0 for what is no number
	return average
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	fastShutdown      = syscall.SIGINT  // end the sessions, write a checkpoint, stop
	immediateShutdown = syscall.SIGQUIT // stop now, recover at the next start

	// minPause and maxPause bound the growing pause between attempts to start a
	// PostgreSQL that keeps dying.
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second
	// leftoverTimeout is how long the sessions of a postmaster that was killed may
	// take to notice it and go, on a machine that is busy with much else.
	leftoverTimeout = time.Minute
)

// child is one run of the postmaster.
type child struct {
	cmd *exec.Cmd
	// ready is closed when it accepts connections.
	ready chan struct{}
	// gone is closed when it and all its sessions have ended: no process holds the
	// other end of the log's pipe any more.
	gone chan struct{}
	// reason is the last thing it said that was fatal; read it after gone.
	reason string
}

// supervise keeps a postmaster running until Stop. It sends one value to
// started: nil when the first run accepts connections, or why it does not.
func (c *Cluster) supervise(started chan<- error) {
	defer close(c.done)
	// The kernel sends the parent-death signal when the thread that started the
	// child ends, not the process. The thread is therefore kept for this goroutine,
	// which outlives its children.
	runtime.LockOSThread()
	var (
		begin  = time.Now()
		pause  = minPause
		served bool
	)
	reportReady := sync.OnceFunc(func() { started <- nil })
	for {
		launched := time.Now()
		wasReady, err := c.run(reportReady)
		served = served || wasReady
		if c.isStopping() {
			return
		}
		leftover := strings.Contains(err.Error(), leftoverMessage) && time.Since(begin) < leftoverTimeout
		if !served && !leftover {
			started <- err
			return
		}
		if wasReady && time.Since(launched) > maxPause {
			pause = minPause
		}
		c.log.Error("PostgreSQL ended: starting it again", "error", err, "after", pause)
		select {
		case <-c.stopping:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// run starts the postmaster and waits for its end, which is always an error
// unless Stop asked for it. It reports whether connections were accepted.
func (c *Cluster) run(onReady func()) (wasReady bool, err error) {
	child, err := c.launch(onReady)
	if err != nil {
		return false, err
	}
	err = child.cmd.Wait()
	select {
	case <-child.ready:
		wasReady = true
	default:
	}
	select {
	case <-child.gone:
	case <-time.After(leftoverTimeout):
		return wasReady, errors.New("some of its sessions do not end")
	}
	if err == nil {
		err = errors.New("it was shut down by somebody else")
	}
	if child.reason != "" {
		err = fmt.Errorf("%s (%w)", child.reason, err)
	}
	return wasReady, err
}

// launch starts the postmaster and the reading of its log.
func (c *Cluster) launch(onReady func()) (*child, error) {
	if err := c.place.removeSocket(); err != nil {
		return nil, err
	}
	logReader, logWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the log: %w", err)
	}
	cmd := c.postmasterCommand()
	cmd.Stdout, cmd.Stderr = logWriter, logWriter
	dieWithParent(cmd)
	running := &child{cmd: cmd, ready: make(chan struct{}), gone: make(chan struct{})}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isStopping() {
		err = errors.New("stopping")
	} else {
		err = cmd.Start()
	}
	if err = errors.Join(err, logWriter.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", cmd.Path, err), logReader.Close())
	}
	c.child = running
	go running.readLog(logReader, c.log, onReady)
	return running, nil
}

// postmasterCommand returns the command that runs PostgreSQL. Settings on the command line
// cannot be changed by ALTER SYSTEM.
func (c *Cluster) postmasterCommand() *exec.Cmd {
	return c.place.owner.command(context.Background(), c.place.data(), c.binaries.path("postgres"),
		"-D", c.place.data(),
		"-c", "config_file="+c.place.file(settingsFile),
		"-c", "hba_file="+c.place.file(accessFile),
		"-c", "ident_file="+c.place.file(usersFile),
		"-c", "listen_addresses=",
		"-c", "unix_socket_directories="+c.place.socketDir,
		"-c", "port="+socketPort,
		// The log is read by parseLogLine, which needs these.
		"-c", "log_destination=stderr", "-c", "logging_collector=off", "-c", "log_min_messages=warning",
		"-c", "log_line_prefix=%b|", "-c", "lc_messages=C",
	)
}

// signal sends a signal to the postmaster, if one runs.
func (c *Cluster) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		return
	}
	if err := c.child.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.log.Error("signal PostgreSQL", "signal", sig, "error", err)
	}
}

// isStopping reports whether Stop was called.
func (c *Cluster) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

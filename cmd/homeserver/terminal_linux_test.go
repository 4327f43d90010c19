package main

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"homeserver/internal/matrixtest"
)

// terminal is a terminal with a person, played by the test, in front of it.
type terminal struct {
	person *os.File // what the person types and sees
	tty    *os.File // what the program reads
	shown  *watched // all that the person has seen, and the program's standard error
}

// newTerminal opens a terminal.
func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return &terminal{person: person, tty: tty, shown: newWatched()}
}

// run runs the program at the terminal. The person answers each prompt, in order.
func (term *terminal) run(t *testing.T, environ []string, answers [][2]string, args ...string) result {
	t.Helper()
	var stdout strings.Builder
	a := &app{environ: environ, stdin: term.tty, stdout: &stdout, stderr: term.shown}
	done := make(chan int, 1)
	go func() {
		done <- a.run(t.Context(), args)
		term.shown.close()
	}()
	for _, answer := range answers {
		if !term.shown.waitFor(answer[0]) {
			t.Fatalf("no prompt %q: %s", answer[0], term.shown)
		}
		if !strings.Contains(answer[0], "[y/N]") {
			term.waitForSilence(t)
		}
		if _, err := term.person.WriteString(answer[1] + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	return result{<-done, stdout.String(), term.shown.String()}
}

// waitForSilence returns once the terminal has ceased to show what is typed. A person is never faster
// than that.
func (term *terminal) waitForSilence(t *testing.T) {
	t.Helper()
	for t.Context().Err() == nil {
		settings, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if settings.Lflag&unix.ECHO == 0 {
			return
		}
		runtime.Gosched()
	}
}

// echoed returns what the terminal itself has shown to the person.
func (term *terminal) echoed(t *testing.T) string {
	t.Helper()
	// The mark comes after everything that was typed.
	if _, err := term.tty.WriteString("END"); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	buffer := make([]byte, 256)
	for !strings.Contains(seen.String(), "END") {
		n, err := term.person.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buffer[:n])
	}
	return seen.String()
}

func TestPasswordIsAskedForTwiceAndNotShown(t *testing.T) {
	t.Parallel()
	environ := served(t)
	term := newTerminal(t)
	got := term.run(t, environ, [][2]string{{"Password: ", "hunter2"}, {"Again: ", "hunter2"}}, "user", "create", "alice")
	if got.code != exitOK {
		t.Fatalf("got %+v", got)
	}
	if echoed := term.echoed(t); strings.Contains(echoed, "hunter2") {
		t.Errorf("the password is shown: %q", echoed)
	}
	r := start(t, environ)
	matrixtest.At(t, r.url(t, "http"), http.DefaultClient).Login("alice", "hunter2")
}

func TestPasswordsThatDifferMakeNoAccount(t *testing.T) {
	t.Parallel()
	environ := served(t)
	got := newTerminal(t).run(t, environ, [][2]string{{"Password: ", "one"}, {"Again: ", "two"}}, "user", "create", "alice")
	if got.code != exitFailure || !strings.Contains(got.stderr, "the two passwords differ") {
		t.Errorf("got %+v", got)
	}
	got = newTerminal(t).run(t, environ, [][2]string{{"Password: ", ""}}, "user", "create", "alice")
	if got.code != exitFailure || !strings.Contains(got.stderr, "the password is empty") {
		t.Errorf("got %+v", got)
	}
	if list := runWith(t, nil, environ, "user", "list"); strings.Contains(list.stdout, "alice") {
		t.Errorf("got %s", list.stdout)
	}
}

func TestDeactivationAsksFirst(t *testing.T) {
	t.Parallel()
	environ := served(t)
	if got := runWith(t, strings.NewReader("x"), environ, "user", "create", "alice"); got.code != exitOK {
		t.Fatalf("got %+v", got)
	}
	for _, answer := range []string{"", "n", "what?"} {
		got := newTerminal(t).run(t, environ, [][2]string{{"[y/N]", answer}}, "user", "deactivate", "alice")
		if got.code != exitFailure || !strings.Contains(got.stderr, "nothing was done") {
			t.Errorf("%q: got %+v", answer, got)
		}
	}
	got := newTerminal(t).run(t, environ, [][2]string{{"[y/N]", "Yes"}}, "user", "deactivate", "alice")
	if got.code != exitOK || !strings.Contains(got.stdout, "Deactivated alice.") {
		t.Errorf("got %+v", got)
	}
}

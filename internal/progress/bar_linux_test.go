package progress

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnATerminalThereIsABar(t *testing.T) {
	t.Parallel()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	defer func() { _ = person.Close() }()
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
	defer func() { _ = tty.Close() }()

	b := New(tty, "Reading", 4)
	b.Add(4)
	b.Done()
	var seen strings.Builder
	buffer := make([]byte, 256)
	for !strings.Contains(seen.String(), "\n") {
		n, err := person.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buffer[:n])
	}
	if !strings.Contains(seen.String(), "  0 %") || !strings.Contains(seen.String(), "100 %") {
		t.Errorf("the terminal shows %q", seen.String())
	}
}

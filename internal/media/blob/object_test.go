package blob

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestConnectionThatStandsStill reads and writes where the other side does nothing.
func TestConnectionThatStandsStill(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close() //nolint:errcheck // a pipe
	conn := &patientConn{here, time.Millisecond}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: got %v", err)
	}
	if _, err := conn.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: got %v", err)
	}
}

// In TestReadingIsGivenTimeWhileWriting the answer comes long after reading began, as it does
// when a large file is sent: each write moves the deadline of reading.
func TestReadingIsGivenTimeWhileWriting(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close() //nolint:errcheck // a pipe
	recorded := &deadlines{Conn: here}
	conn := &patientConn{recorded, time.Hour}
	go func() { _, _ = io.ReadFull(there, make([]byte, 1)) }()
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if time.Until(recorded.read) < time.Minute || time.Until(recorded.write) < time.Minute {
		t.Errorf("reading has time until %v, writing until %v", recorded.read, recorded.write)
	}
}

// deadlines is a connection that keeps what deadlines it was given.
type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetDeadline(at time.Time) error {
	d.read, d.write = at, at
	return d.Conn.SetDeadline(at)
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return d.Conn.SetReadDeadline(at)
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.write = at
	return d.Conn.SetWriteDeadline(at)
}

package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
)

// source is where the content of an object is asked for.
type source struct {
	ctx    context.Context // of who opened it
	bucket *Bucket
	key    string
	size   int64
}

// stream reads an object from any place on, by one request for as long as it is read
// without jumps.
type stream struct {
	source
	offset int64
	body   io.ReadCloser // begins at offset; nil: to be asked for
}

// Read implements io.Reader. A request that breaks off is continued by another.
func (s *stream) Read(p []byte) (int, error) {
	if s.offset >= s.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), s.size-s.offset)]
	var err error
	for range attempts {
		if s.body == nil {
			if s.body, err = s.request(); err != nil {
				return 0, err // after attempts of its own
			}
		}
		var n int
		n, err = s.body.Read(p)
		s.offset += int64(n)
		if err != nil {
			s.close()
		}
		if n > 0 {
			return n, nil
		}
		if s.ctx.Err() != nil {
			return 0, s.ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, named("read", s.key, err)
}

// request requests the rest of the object.
func (s *stream) request() (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if s.offset > 0 {
		if err := o.SetRange(s.offset, 0); err != nil {
			return nil, err
		}
	}
	body, _, _, err := s.bucket.client.GetObject(s.ctx, s.bucket.bucket, s.bucket.prefix+s.key, o)
	return body, named("read", s.key, err)
}

// Seek implements io.Seeker. It sends no request.
func (s *stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.offset
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d in %s", offset, s.key)
	}
	if offset != s.offset {
		s.close()
	}
	s.offset = offset
	return offset, nil
}

// close breaks off the request.
func (s *stream) close() {
	if s.body != nil {
		_ = s.body.Close() // it was only read
		s.body = nil
	}
}

// object is an open object of a bucket.
type object struct {
	stream

	mu sync.Mutex
	at stream // for ReadAt, which leaves the other alone
}

// ReadAt implements io.ReaderAt. Pieces that follow each other come by one request.
func (o *object) ReadAt(p []byte, offset int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, err := o.at.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(&o.at, p)
	if errors.Is(err, io.ErrUnexpectedEOF) && o.at.offset >= o.at.size {
		err = io.EOF
	}
	return n, err
}

// Close implements io.Closer.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stream.close()
	o.at.close()
	return nil
}

// dialPatiently connects, and breaks a connection off on which nothing moves.
func dialPatiently(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &patientConn{conn, stallTime}, nil
}

// patientConn bounds the time of each step of a connection. A write also extends the
// time of a concurrent read: the answer comes once all is written.
type patientConn struct {
	net.Conn
	patience time.Duration
}

// Read implements net.Conn.
func (c *patientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *patientConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

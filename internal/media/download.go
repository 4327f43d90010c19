package media

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"

	"homeserver/internal/matrix"
)

const (
	// maxWait bounds how long a download waits for its upload.
	maxWait = time.Minute
	// lookSoon and lookLate are the times after which it reads the database, in case
	// the upload came to another process: at first, and in the end.
	lookSoon = 50 * time.Millisecond
	lookLate = 2 * time.Second
)

// Open opens a file. If its content has not come yet, it waits for it, for a minute at
// most: M_NOT_YET_UPLOADED (504) after that. M_NOT_FOUND for an ID that there isn't, or
// that can't be, and for files of other servers. Anybody may ask. GET
// /download/{serverName}/{mediaId}.
func (s *Service) Open(ctx context.Context, server, mediaID string, wait time.Duration) (*File, error) {
	m, err := s.await(ctx, server, mediaID, wait)
	if err != nil {
		return nil, err
	}
	return s.openMedia(ctx, m)
}

// openMedia opens a file whose content has come.
func (s *Service) openMedia(ctx context.Context, m media) (*File, error) {
	object, err := s.open(ctx, contentKey(m.hash()))
	if err != nil {
		return nil, fmt.Errorf("open media %s: %w", m.ID, err)
	}
	f := &File{content: object, ETag: m.hash().String(), Modified: time.UnixMilli(m.CreatedAt), log: s.o.Log}
	if m.ContentType != nil {
		f.ContentType = *m.ContentType
	}
	if m.Filename != nil {
		f.Filename = *m.Filename
	}
	return f, nil
}

var (
	errNotFound       = &matrix.Error{Code: matrix.NotFound, Message: "there is no such file here"}
	errNotYetUploaded = &matrix.Error{Code: notYetUploaded, Message: "the content has not been uploaded yet", Status: http.StatusGatewayTimeout}
)

// load finds the record of a file: the one place where an ID comes in from
// outside. Section "Security considerations" of the content repository.
func (s *Service) load(ctx context.Context, server, mediaID string) (media, error) {
	if server != s.o.ServerName || !isMediaID(mediaID) {
		return media{}, errNotFound
	}
	m, found, err := load(ctx, s.pool, mediaID)
	if err == nil && (!found || m.ExpiresAt != nil && *m.ExpiresAt <= s.nowMS()) {
		return media{}, errNotFound
	}
	return m, err
}

// isMediaID reports whether the text is of the grammar of media IDs. Section
// "Matrix Content (mxc://) URIs".
func isMediaID(id string) bool {
	if id == "" || len(id) > maxMediaIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// await finds the record of a file whose content is there, or comes in time.
func (s *Service) await(ctx context.Context, server, mediaID string, wait time.Duration) (media, error) {
	m, err := s.load(ctx, server, mediaID)
	if err != nil || m.Hash != nil {
		return m, err
	}
	arrived, leave := s.arrivals.watch(mediaID)
	defer leave()
	deadline := time.NewTimer(min(wait, maxWait))
	defer deadline.Stop()
	for soon := lookSoon; ; soon = min(2*soon, lookLate) {
		m, err := s.load(ctx, server, mediaID)
		if err != nil || m.Hash != nil {
			return m, err
		}
		select {
		case <-arrived:
		case <-time.After(soon):
		case <-deadline.C:
			return media{}, errNotYetUploaded
		case <-s.stopping:
			return media{}, errNotYetUploaded
		case <-ctx.Done():
			return media{}, ctx.Err()
		}
	}
}

// arrivals wakes downloads that wait for an upload.
type arrivals struct {
	mu      sync.Mutex
	waiting map[string]*arrival
}

type arrival struct {
	watchers int
	came     chan struct{} // closed when it has come
}

// watch returns a channel that is closed once the upload has come. The caller calls
// leave when it no longer waits.
func (a *arrivals) watch(mediaID string) (came <-chan struct{}, leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.waiting[mediaID]
	if of == nil {
		of = &arrival{came: make(chan struct{})}
		a.waiting[mediaID] = of
	}
	of.watchers++
	return of.came, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if of.watchers--; of.watchers == 0 && a.waiting[mediaID] == of {
			delete(a.waiting, mediaID)
		}
	}
}

// announce wakes those who wait for an upload that has come.
func (a *arrivals) announce(mediaID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if of := a.waiting[mediaID]; of != nil {
		close(of.came)
		delete(a.waiting, mediaID)
	}
}

// hash is the SHA-256 of a file's content, and makes its key.
type hash [32]byte

// String returns the hash in hexadecimal.
func (h hash) String() string { return hex.EncodeToString(h[:]) }

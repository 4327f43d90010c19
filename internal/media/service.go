package media

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
	"homeserver/internal/media/blob"
)

// The codes that only media answer with.
const (
	notYetUploaded  matrix.Code = "M_NOT_YET_UPLOADED"
	cannotOverwrite matrix.Code = "M_CANNOT_OVERWRITE_MEDIA"
)

// Limits of an upload's texts.
const (
	maxFilenameBytes    = 1024
	maxContentTypeBytes = 255
	maxMediaIDBytes     = 255
	// blockBytes is the unit in which files count towards a quota, as they do on a
	// disk, so that a quota bounds the number of files too.
	blockBytes = 4 << 10
)

// defaultContentType is the type of a file for which none was sent.
const defaultContentType = "application/octet-stream"

// Options sets up a Service. Numbers that are 0 mean the default.
type Options struct {
	Pool *pgxpool.Pool
	// Storage is where the files lie; nil: in the folder Dir.
	Storage Storage
	// Dir is made if need be.
	Dir string
	// ServerName is the first part of mxc:// URIs.
	ServerName string

	MaxUploadBytes int64 // of one file; default 50 MiB
	UserQuotaBytes int64 // of all files of a user, in blocks of 4 KiB; default none
	// MaxAwaited is how many IDs a user may have whose content has not come;
	// default 20.
	MaxAwaited int
	// AwaitLifetime is how long such an ID waits for its content; default 24 h.
	AwaitLifetime time.Duration

	// ThumbnailMemory bounds the memory for all pictures together while thumbnails are
	// made of them; default 256 MiB. A picture that needs more alone has no thumbnails.
	ThumbnailMemory int64
	// ThumbnailTime bounds the time for one, with the wait for its turn; default 30 s.
	ThumbnailTime time.Duration

	// Room returns the error for requests that store files while there is too little
	// room for them; nil: there always is.
	Room func() error

	// Limits bounds how much of the processor callers may take; nil: nothing does.
	Limits *ratelimit.Limits

	Log *slog.Logger     // nil: the default one
	Now func() time.Time // the clock; nil: the real one
}

// Service holds the rules of media. It is safe for concurrent use.
type Service struct {
	pool     *pgxpool.Pool
	o        Options
	storage  Storage
	arrivals arrivals

	painters   *gauge.Gauge // thumbnails being made
	pictures   *gauge.Gauge // and their memory in bytes
	thumbnails singleflight.Group
	received   prometheus.Counter // in bytes

	stopOnce sync.Once
	stopping chan struct{}
	cleaning sync.WaitGroup
}

// New makes a Service on a migrated database, and its folder.
func New(o Options) (*Service, error) {
	o.MaxUploadBytes = orDefault(o.MaxUploadBytes, 50<<20)
	o.MaxAwaited = orDefault(o.MaxAwaited, 20)
	o.AwaitLifetime = orDefault(o.AwaitLifetime, 24*time.Hour)
	o.ThumbnailMemory = orDefault(o.ThumbnailMemory, 256<<20)
	o.ThumbnailTime = orDefault(o.ThumbnailTime, 30*time.Second)
	o.Log = orDefault(o.Log, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Room == nil {
		o.Room = func() error { return nil }
	}
	if o.Storage == nil {
		folder, err := blob.OpenFolder(o.Dir)
		if err != nil {
			return nil, err
		}
		o.Storage = folder
	}
	return &Service{
		pool:     o.Pool,
		o:        o,
		storage:  o.Storage,
		arrivals: arrivals{waiting: map[string]*arrival{}},
		painters: gauge.New(gauge.Options{
			// Half of the processors, so that all other work goes on.
			Total: int64(max(1, runtime.GOMAXPROCS(0)/2)), Waiting: maxWaitingPainters, EachWaiting: maxWaitingPaintersEach,
		}),
		pictures: gauge.New(gauge.Options{Total: o.ThumbnailMemory}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "homeserver_media_received_bytes_total", Help: "Bytes of the files that users have uploaded.",
		}),
		stopping: make(chan struct{}),
	}, nil
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Start begins to remove, now and then, files of uploads whose processes were killed,
// this server's or another's on the same storage. That goes on until Stop, and not only
// for as long as ctx. Start succeeds also while the storage is away.
func (s *Service) Start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cleaning.Go(func() { s.cleanAlways(ctx) })
	s.cleaning.Go(func() {
		<-s.stopping
		cancel()
	})
}

// Release ends the waiting of downloads for uploads; later ones do not wait.
func (s *Service) Release() { s.stopOnce.Do(func() { close(s.stopping) }) }

// Stop does the same, and returns when the work that Start has begun is over.
func (s *Service) Stop() {
	s.Release()
	s.cleaning.Wait()
}

// MaxUploadBytes returns the size of the largest file that may be uploaded.
func (s *Service) MaxUploadBytes() int64 { return s.o.MaxUploadBytes }

// Upload is a file that a client sends.
type Upload struct {
	Body io.Reader
	// Bytes is the length that the client has announced; -1: none.
	Bytes int64
	// ContentType as the client has it; one that can't be counts as none.
	ContentType string
	Filename    string // empty: none
}

// Upload stores a file, and returns its mxc:// URI. M_TOO_LARGE beyond the limit of
// size, M_FORBIDDEN beyond the user's quota (the code and status that section "Security
// considerations" of the content repository names for it), M_INVALID_PARAM for a name
// that is too long. POST /upload.
func (s *Service) Upload(ctx context.Context, who matrix.Session, u Upload) (string, error) {
	in, err := s.receive(ctx, who, &u)
	if err != nil {
		return "", err
	}
	defer in.discard()
	m := media{ID: rand.Text(), UserID: &who.UserID, CreatedAt: s.nowMS()}
	m.describe(in, u)
	err = s.storeFile(ctx, in, func(tx pgx.Tx) error {
		if err := s.charge(ctx, tx, who.UserID, in.bytes); err != nil {
			return err
		}
		return insert(ctx, tx, m)
	})
	if err != nil {
		return "", err
	}
	return s.uri(m.ID), nil
}

// Create returns an mxc:// URI whose content comes later, and the time, in milliseconds
// since the epoch, until which it must have come. M_LIMIT_EXCEEDED if the user has too
// many of them. POST /create.
func (s *Service) Create(ctx context.Context, who matrix.Session) (uri string, expiresAt int64, err error) {
	if err := s.o.Room(); err != nil {
		return "", 0, err
	}
	now := s.nowMS()
	expiresAt = now + s.o.AwaitLifetime.Milliseconds()
	m := media{ID: rand.Text(), UserID: &who.UserID, CreatedAt: now, ExpiresAt: &expiresAt}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockUsage(ctx, tx, who.UserID); err != nil {
			return err
		}
		awaited, err := countAwaited(ctx, tx, who.UserID, now)
		if err != nil {
			return err
		}
		if awaited >= s.o.MaxAwaited {
			return &matrix.Error{
				Code:       matrix.LimitExceeded,
				Message:    "Too many uploads have been announced that have not come yet",
				RetryAfter: time.Minute,
			}
		}
		return insert(ctx, tx, m)
	})
	if err != nil {
		return "", 0, fmt.Errorf("create media of %s: %w", who.UserID, err)
	}
	return s.uri(m.ID), expiresAt, nil
}

// UploadTo stores the content for a URI of Create, and wakes the downloads that wait
// for it. M_NOT_FOUND for an ID that was never created or has expired; M_FORBIDDEN for
// anybody else's; M_CANNOT_OVERWRITE_MEDIA (409) if it has come already; else the
// errors of Upload. PUT /upload/{serverName}/{mediaId}.
func (s *Service) UploadTo(ctx context.Context, who matrix.Session, server, mediaID string, u Upload) error {
	if err := s.mayFill(ctx, who, server, mediaID); err != nil {
		return err
	}
	in, err := s.receive(ctx, who, &u)
	if err != nil {
		return err
	}
	defer in.discard()
	if err := s.mayFill(ctx, who, server, mediaID); err != nil {
		return err
	}
	m := media{ID: mediaID, UserID: &who.UserID}
	m.describe(in, u)
	err = s.storeFile(ctx, in, func(tx pgx.Tx) error {
		if err := s.charge(ctx, tx, who.UserID, in.bytes); err != nil {
			return err
		}
		filled, err := recordContent(ctx, tx, m, s.nowMS())
		if err == nil && !filled {
			return errFilledMeanwhile
		}
		return err
	})
	if errors.Is(err, errFilledMeanwhile) {
		// Somebody was faster, or the time has run out: the reason is found again.
		if err := s.mayFill(ctx, who, server, mediaID); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	s.arrivals.announce(mediaID)
	return nil
}

var errFilledMeanwhile = errors.New("the media ID can't be filled any more")

// mayFill checks that the content of an ID may come, from this user and now.
func (s *Service) mayFill(ctx context.Context, who matrix.Session, server, mediaID string) error {
	m, err := s.load(ctx, server, mediaID)
	switch {
	case err != nil:
		return err
	case m.UserID == nil || *m.UserID != who.UserID:
		return matrix.Errorf(matrix.Forbidden, "somebody else has created this media ID")
	case m.Hash != nil:
		return &matrix.Error{Code: cannotOverwrite, Message: "the content of this media ID has been uploaded already", Status: http.StatusConflict}
	}
	return nil
}

// receive checks the properties of a file that are known before it comes, and receives
// it.
func (s *Service) receive(ctx context.Context, who matrix.Session, u *Upload) (*incoming, error) {
	if err := s.o.Room(); err != nil {
		return nil, err
	}
	if len(u.Filename) > maxFilenameBytes {
		return nil, matrix.Errorf(matrix.InvalidParam, "the name of a file may have %d bytes at most", maxFilenameBytes)
	}
	if u.Bytes > s.o.MaxUploadBytes {
		return nil, s.errTooLarge()
	}
	u.ContentType = cleanContentType(u.ContentType)
	if err := s.mayKeep(ctx, who.UserID, u.Bytes); err != nil {
		return nil, err
	}
	in, err := s.readBody(u.Body, s.o.MaxUploadBytes)
	if errors.Is(err, errTooMuch) {
		return nil, s.errTooLarge()
	}
	if err != nil {
		return nil, fmt.Errorf("receive a file of %s: %w", who.UserID, err)
	}
	s.received.Add(float64(in.bytes))
	// Its length is known now. A file that won't be kept isn't stored either.
	if err := s.mayKeep(ctx, who.UserID, in.bytes); err != nil {
		in.discard()
		return nil, err
	}
	return in, nil
}

// mayKeep checks whether a file fits into a user's quota. Only charge makes sure of
// that, for uploads at the same time.
func (s *Service) mayKeep(ctx context.Context, userID string, bytes int64) error {
	if s.o.UserQuotaBytes <= 0 {
		return nil
	}
	used, err := usage(ctx, s.pool, userID)
	if err == nil && used+charged(bytes) > s.o.UserQuotaBytes {
		return errQuota
	}
	return err
}

func (s *Service) errTooLarge() error {
	return matrix.Errorf(matrix.TooLarge, "a file may have %d bytes at most", s.o.MaxUploadBytes)
}

var errQuota = &matrix.Error{Code: matrix.Forbidden, Message: "the quota for uploaded files is used up"}

// charge adds a file to the user's usage; M_FORBIDDEN if that exceeds the quota.
func (s *Service) charge(ctx context.Context, tx pgx.Tx, userID string, bytes int64) error {
	used, err := addUsage(ctx, tx, userID, charged(bytes))
	if err == nil && s.o.UserQuotaBytes > 0 && used > s.o.UserQuotaBytes {
		return errQuota
	}
	return err
}

// charged returns the size of a file for the quota: whole blocks, and one at least. A
// length that isn't known counts as the least.
func charged(bytes int64) int64 {
	return max(1, (bytes+blockBytes-1)/blockBytes) * blockBytes
}

// describe sets the properties of the received content.
func (m *media) describe(in *incoming, u Upload) {
	m.Hash, m.Bytes, m.ContentType = in.hash[:], &in.bytes, &u.ContentType
	if u.Filename != "" {
		m.Filename = &u.Filename
	}
}

// uri returns the mxc:// URI of a file here.
func (s *Service) uri(mediaID string) string { return "mxc://" + s.o.ServerName + "/" + mediaID }

// nowMS returns the present in milliseconds since the epoch.
func (s *Service) nowMS() int64 { return s.o.Now().UnixMilli() }

// cleanContentType returns the client's type, or the default if it isn't one.
func cleanContentType(contentType string) string {
	if len(contentType) > maxContentTypeBytes {
		return defaultContentType
	}
	for _, c := range []byte(contentType) {
		if c < ' ' || c > '~' {
			return defaultContentType
		}
	}
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		return defaultContentType
	}
	return contentType
}

// Collectors returns the metrics of media, to be registered once.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.received} }

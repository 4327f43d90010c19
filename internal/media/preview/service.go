package preview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/net/html/charset"
	"golang.org/x/sync/singleflight"

	"homeserver/internal/gauge"
	"homeserver/internal/matrix"
	"homeserver/internal/media"
	"homeserver/internal/safehttp"
)

const (
	// maxFetches is how many previews are made at once, and maxFetchesEach how many of
	// them for one caller; others wait for their turn, so many of all and of one.
	maxFetches            = 8
	maxFetchesEach        = 3
	maxWaitingFetches     = 200
	maxWaitingFetchesEach = 20
	fetchPatience         = 10 * time.Second
	maxURLBytes           = 2048
	// maxPageBytes is how much of a page is read: the data of a preview is at its
	// beginning.
	maxPageBytes    = 512 << 10
	maxPictureBytes = 10 << 20
)

// The errors of previews, for which the specification has no codes of its own.
var (
	errBusy  = &matrix.Error{Code: matrix.LimitExceeded, Message: "too many previews are being made", RetryAfter: 5 * time.Second}
	errFetch = &matrix.Error{Code: matrix.Unknown, Message: "the page could not be loaded", Status: http.StatusBadGateway}
)

// Options has all that a Service needs.
type Options struct {
	Pool *pgxpool.Pool
	// Client fetches pages and pictures; nil: there are no previews.
	Client *safehttp.Client
	// Files keeps the pictures.
	Files *media.Service
	// Lifetime is how long a preview is kept; 0: 1 h.
	Lifetime time.Duration
	// Room returns the error for what asks for more to be kept while there is too little
	// room for it; nil: there always is.
	Room func() error
	Log  *slog.Logger     // nil: the default one
	Now  func() time.Time // the clock; nil: the real one
}

// Service makes previews. It may be used concurrently.
type Service struct {
	o       Options
	fetches *gauge.Gauge
	making  singleflight.Group
}

// New makes a Service on a migrated database.
func New(o Options) *Service {
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	if o.Room == nil {
		o.Room = func() error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o, fetches: gauge.New(gauge.Options{
		Total: maxFetches, Each: maxFetchesEach, Waiting: maxWaitingFetches, EachWaiting: maxWaitingFetchesEach,
	})}
}

// Preview returns the OpenGraph data of the page at a URL, as the JSON of the answer,
// with its picture as an mxc:// URI. It is empty for content that is no page.
// M_INVALID_PARAM for a text that is no http or https URL; M_FORBIDDEN where previews
// are switched off; M_UNKNOWN (502) for a page that could not be loaded, or must not be
// because its address is not public; M_LIMIT_EXCEEDED if too many are asked for at
// once. GET /preview_url.
func (s *Service) Preview(ctx context.Context, link string) (json.RawMessage, error) {
	if s.o.Client == nil {
		return nil, matrix.Errorf(matrix.Forbidden, "this server makes no previews of URLs")
	}
	page, err := parseLink(link)
	if err != nil {
		return nil, err
	}
	key := page.String()
	if known, err := load(ctx, s.o.Pool, key, s.o.Now().UnixMilli()); err != nil || known != "" {
		return json.RawMessage(known), err
	}
	if err := s.o.Room(); err != nil {
		return nil, err
	}
	// It is made once for all callers that want it now, also if the first goes away.
	made, err := gauge.Once(ctx, &s.making, key, func() (any, error) {
		return s.make(context.WithoutCancel(ctx), page)
	})
	if err != nil {
		return nil, err
	}
	return made.(json.RawMessage), nil
}

// parseLink checks a URL, and removes the fragment, which the page's server never sees.
func parseLink(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	if err != nil || len(link) > maxURLBytes || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "url must be an http or https URL of %d bytes at most, without a password", maxURLBytes)
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

func (s *Service) make(ctx context.Context, page *url.URL) (json.RawMessage, error) {
	waiting, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	caller := matrix.Caller(ctx)
	if _, err := s.fetches.Enter(waiting, caller, 1); err != nil {
		return nil, gauge.RefuseTurn(err, errBusy)
	}
	defer s.fetches.Leave(caller, 1)
	properties, err := s.describe(ctx, page)
	if err != nil {
		return nil, err
	}
	made, err := matrix.EncodeJSON(properties)
	if err != nil {
		return nil, fmt.Errorf("encode a preview: %w", err)
	}
	now := s.o.Now().UnixMilli()
	err = store(ctx, s.o.Pool, page.String(), string(made), now, now+s.o.Lifetime.Milliseconds())
	return made, err
}

// describe loads the content of a URL, and returns the properties of its preview.
func (s *Service) describe(ctx context.Context, page *url.URL) (map[string]any, error) {
	answer, err := s.fetch(ctx, page.String(), "text/html, application/xhtml+xml;q=0.9, image/*;q=0.8, */*;q=0.5")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	contentType := answer.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(contentType)
	properties := map[string]any{}
	switch {
	case err != nil:
		return properties, nil
	case strings.HasPrefix(mediaType, "image/"):
		return properties, s.addPicture(ctx, properties, answer.Body)
	case mediaType != "text/html" && mediaType != "application/xhtml+xml":
		return properties, nil
	}
	text, err := charset.NewReader(io.LimitReader(answer.Body, maxPageBytes), contentType)
	if err != nil {
		return nil, errFetch
	}
	graph, err := readPage(text)
	if err != nil {
		return nil, errFetch
	}
	for name, value := range graph.properties {
		properties[name] = value
	}
	picture, err := answer.Request.URL.Parse(graph.picture)
	if graph.picture == "" || err != nil {
		return properties, nil
	}
	// Without its picture a preview is a preview still.
	err = s.addPictureAt(ctx, properties, picture)
	if _, public := errors.AsType[*matrix.Error](err); public && !errors.Is(err, media.ErrAway) {
		return properties, nil
	}
	return properties, err
}

// fetch requests a URL, and returns the answer if it is a success.
func (s *Service) fetch(ctx context.Context, link, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, errFetch
	}
	request.Header.Set("Accept", accept)
	answer, err := s.o.Client.Do(request)
	switch {
	case err != nil:
		// Also for a forbidden address: the client must not learn which names and
		// addresses exist inside the network of this server.
		s.o.Log.DebugContext(ctx, "page for a preview not loaded", "error", err)
		return nil, errFetch
	case answer.StatusCode != http.StatusOK:
		_ = answer.Body.Close()
		return nil, errFetch
	}
	return answer, nil
}

// addPictureAt fetches the picture of a page.
func (s *Service) addPictureAt(ctx context.Context, properties map[string]any, at *url.URL) error {
	if at.Scheme != "http" && at.Scheme != "https" {
		return nil
	}
	answer, err := s.fetch(ctx, at.String(), "image/*")
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	return s.addPicture(ctx, properties, answer.Body)
}

// addPicture keeps a picture as media of the server's own, and adds what a preview says of
// it. What is no picture that clients can be expected to show is left out.
func (s *Service) addPicture(ctx context.Context, properties map[string]any, body io.Reader) error {
	p, err := s.o.Files.KeepPicture(ctx, body, maxPictureBytes)
	if err != nil || p == nil {
		return err
	}
	properties["og:image"] = p.URI
	properties["og:image:type"] = p.ContentType
	properties["og:image:width"] = p.Width
	properties["og:image:height"] = p.Height
	properties["matrix:image:size"] = p.Bytes
	return nil
}

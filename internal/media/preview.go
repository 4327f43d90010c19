package media

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/net/html/charset"

	"homeserver/internal/matrix"
	"homeserver/internal/media/picture"
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
	errPreviewsOff  = &matrix.Error{Code: matrix.Forbidden, Message: "This server makes no previews of URLs"}
	errPreviewBusy  = &matrix.Error{Code: matrix.LimitExceeded, Message: "Too many previews are being made", RetryAfter: 5 * time.Second}
	errPreviewFetch = &matrix.Error{Code: matrix.Unknown, Message: "The page could not be loaded", Status: http.StatusBadGateway}
)

// Preview returns the OpenGraph data of the page at a URL, as the JSON of the answer,
// with its picture as an mxc:// URI. It is empty for content that is no page.
// M_INVALID_PARAM for a text that is no http or https URL; M_FORBIDDEN where previews
// are switched off; M_UNKNOWN (502) for a page that could not be loaded, or must not be
// because its address is not public; M_LIMIT_EXCEEDED if too many are asked for at
// once. GET /preview_url.
func (s *Service) Preview(ctx context.Context, link string) (json.RawMessage, error) {
	if s.o.Previews == nil {
		return nil, errPreviewsOff
	}
	page, err := parseLink(link)
	if err != nil {
		return nil, err
	}
	key := page.String()
	if known, err := loadPreview(ctx, s.pool, key, s.nowMS()); err != nil || known != "" {
		return json.RawMessage(known), err
	}
	if err := s.o.Room(); err != nil {
		return nil, err
	}
	// It is made once for all callers that want it now, also if the first goes away.
	made, err := once(ctx, &s.previews, key, func() (any, error) {
		return s.makePreview(context.WithoutCancel(ctx), page)
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

func (s *Service) makePreview(ctx context.Context, page *url.URL) (json.RawMessage, error) {
	waiting, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	caller := matrix.Caller(ctx)
	if _, err := s.fetches.Enter(waiting, caller, 1); err != nil {
		return nil, refusedTurn(err, errPreviewBusy)
	}
	defer s.fetches.Leave(caller, 1)
	properties, err := s.lookAt(ctx, page)
	if err != nil {
		return nil, err
	}
	var answer bytes.Buffer
	encoder := json.NewEncoder(&answer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(properties); err != nil {
		return nil, fmt.Errorf("encode a preview: %w", err)
	}
	made := bytes.TrimSpace(answer.Bytes())
	now := s.nowMS()
	err = storePreview(ctx, s.pool, page.String(), string(made), now, now+s.o.PreviewLifetime.Milliseconds())
	return made, err
}

// lookAt loads the content of a URL, and returns the properties of its preview.
func (s *Service) lookAt(ctx context.Context, page *url.URL) (map[string]any, error) {
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
		return nil, errPreviewFetch
	}
	graph, err := readPage(text)
	if err != nil {
		return nil, errPreviewFetch
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
	if _, public := errors.AsType[*matrix.Error](err); public && !errors.Is(err, errAway) {
		return properties, nil
	}
	return properties, err
}

// fetch requests a URL, and returns the answer if it is a success.
func (s *Service) fetch(ctx context.Context, link, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, errPreviewFetch
	}
	request.Header.Set("Accept", accept)
	answer, err := s.o.Previews.Do(request)
	switch {
	case err != nil:
		// Also for a forbidden address: the client must not learn which names and
		// addresses exist inside the network of this server.
		s.o.Log.DebugContext(ctx, "page for a preview not loaded", "error", err)
		return nil, errPreviewFetch
	case answer.StatusCode != http.StatusOK:
		_ = answer.Body.Close()
		return nil, errPreviewFetch
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

// addPicture stores a picture as media of the server's own, and adds its properties of
// a preview. Content that is no picture that clients can be expected to show is left
// out.
func (s *Service) addPicture(ctx context.Context, properties map[string]any, body io.Reader) error {
	in, err := s.takeIn(body, min(maxPictureBytes, s.o.MaxUploadBytes))
	if errors.Is(err, errAway) {
		return fmt.Errorf("receive a picture for a preview: %w", err)
	}
	if err != nil {
		s.o.Log.DebugContext(ctx, "picture for a preview not loaded", "error", err)
		return nil
	}
	defer in.discard()
	p, err := picture.Inspect(in.file, in.bytes)
	if err != nil {
		return nil //nolint:nilerr // it is no picture; the preview does without
	}
	contentType := string(p.Format)
	m := media{ID: rand.Text(), CreatedAt: s.nowMS(), Hash: in.hash[:], Bytes: &in.bytes, ContentType: &contentType}
	err = s.keep(ctx, in, func(tx pgx.Tx) error {
		known, err := serversOwn(ctx, tx, in.hash)
		if err != nil {
			return err
		}
		if known != "" {
			m.ID = known
			return nil
		}
		return insert(ctx, tx, m)
	})
	if err != nil {
		return err
	}
	properties["og:image"] = s.uri(m.ID)
	properties["og:image:type"] = contentType
	properties["og:image:width"] = p.Width
	properties["og:image:height"] = p.Height
	properties["matrix:image:size"] = in.bytes
	return nil
}

package client

import (
	"time"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/media"
)

// defaultMediaWait is how long a download waits for an upload if its client
// doesn't say. Parameter timeout_ms.
const defaultMediaWait = 20_000

type uploadAnswer struct {
	ContentURI string `json:"content_uri"`
	ExpiresAt  int64  `json:"unused_expires_at,omitzero"`
}

// upload stores a file. POST /upload.
func (a *api) upload(r *httpapi.Request, who matrix.Session) (any, error) {
	uri, err := a.Media.Upload(r.Context(), who, a.uploadOf(r))
	return uploadAnswer{ContentURI: uri}, err
}

// createMedia returns a URI for a file that comes later. POST /create.
func (a *api) createMedia(r *httpapi.Request, who matrix.Session) (any, error) {
	uri, expiresAt, err := a.Media.Create(r.Context(), who)
	return uploadAnswer{uri, expiresAt}, err
}

// uploadTo stores the file for such a URI. PUT /upload/{serverName}/{mediaId}.
func (a *api) uploadTo(r *httpapi.Request, who matrix.Session) (any, error) {
	err := a.Media.UploadTo(r.Context(), who, r.Param("serverName"), r.Param("mediaId"), a.uploadOf(r))
	return httpapi.Empty{}, err
}

func (a *api) uploadOf(r *httpapi.Request) media.Upload {
	return media.Upload{
		Body:        r.Stream(),
		Bytes:       r.ContentLength,
		ContentType: r.Header.Get("Content-Type"),
		Filename:    r.Query("filename"),
	}
}

type mediaConfigAnswer struct {
	UploadSize int64 `json:"m.upload.size"`
}

// mediaConfig returns how large a file may be. GET /config.
func (a *api) mediaConfig(*httpapi.Request, matrix.Session) (any, error) {
	return mediaConfigAnswer{a.Media.MaxUploadBytes()}, nil
}

// previewURL returns the preview of a link, the newest one there is, whatever time ts
// names. GET /preview_url.
func (a *api) previewURL(r *httpapi.Request, _ matrix.Session) (any, error) {
	link := r.Query("url")
	if link == "" {
		return nil, matrix.Errorf(matrix.MissingParam, "url is missing")
	}
	preview, err := a.Previews.Preview(r.Context(), link)
	return preview, err
}

// download returns a file to anybody. allow_remote and allow_redirect make no
// difference: there are no files of other servers here, and no other place where the
// own ones are. GET /_matrix/media/v3/download/{serverName}/{mediaId}[/{fileName}].
func (a *api) download(r *httpapi.Request) (any, error) {
	wait, err := mediaWait(r)
	if err != nil {
		return nil, err
	}
	file, err := a.Media.Open(r.Context(), r.Param("serverName"), r.Param("mediaId"), wait)
	if err != nil {
		return nil, err
	}
	if name := r.Param("fileName"); name != "" {
		file.Filename = name
	}
	return fileAnswer{file, "public", r}, nil
}

// unlessClosed returns the handler of an endpoint that returns files to anybody. M_NOT_FOUND
// for all of them where the operator has closed it: section "Content repository",
// freezing unauthenticated media.
func (a *api) unlessClosed(h func(*httpapi.Request) (any, error)) func(*httpapi.Request) (any, error) {
	return func(r *httpapi.Request) (any, error) {
		if a.MediaClosed {
			return nil, matrix.Errorf(matrix.NotFound, "there is no such file here for those who are not logged in: use /_matrix/client/v1/media")
		}
		return h(r)
	}
}

// authedDownload returns a file to those who are logged in. GET
// /_matrix/client/v1/media/download/{serverName}/{mediaId}[/{fileName}].
func (a *api) authedDownload(r *httpapi.Request, _ matrix.Session) (any, error) {
	return onlyForUsers(a.download(r))
}

// thumbnail returns a small picture of a file to anybody. GET
// /_matrix/media/v3/thumbnail/{serverName}/{mediaId}.
func (a *api) thumbnail(r *httpapi.Request) (any, error) {
	q := media.ThumbnailQuery{Server: r.Param("serverName"), MediaID: r.Param("mediaId")}
	var err error
	if q.Width, err = wantedSide(r, "width"); err != nil {
		return nil, err
	}
	if q.Height, err = wantedSide(r, "height"); err != nil {
		return nil, err
	}
	switch r.Query("method") {
	case "", "scale":
	case "crop":
		q.Crop = true
	default:
		return nil, matrix.Errorf(matrix.InvalidParam, "method must be crop or scale")
	}
	if q.Animated, err = r.QueryBool("animated"); err != nil {
		return nil, err
	}
	if q.Wait, err = mediaWait(r); err != nil {
		return nil, err
	}
	file, err := a.Media.Thumbnail(r.Context(), q)
	if err != nil {
		return nil, err
	}
	file.Filename = thumbnailName(file.ContentType)
	return fileAnswer{file, "public", r}, nil
}

func wantedSide(r *httpapi.Request, name string) (int, error) {
	if r.Query(name) == "" {
		return 0, matrix.Errorf(matrix.MissingParam, "%s is missing", name)
	}
	return r.QueryInt(name, 0)
}

// authedThumbnail returns a small picture of a file to those who are logged in. GET
// /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}.
func (a *api) authedThumbnail(r *httpapi.Request, _ matrix.Session) (any, error) {
	return onlyForUsers(a.thumbnail(r))
}

// thumbnailName returns the file name of a thumbnail that is saved.
func thumbnailName(contentType string) string {
	switch contentType {
	case "image/jpeg":
		return "thumbnail.jpg"
	case "image/png":
		return "thumbnail.png"
	case "image/gif":
		return "thumbnail.gif"
	case "image/webp":
		return "thumbnail.webp"
	}
	return ""
}

func mediaWait(r *httpapi.Request) (time.Duration, error) {
	ms, err := r.QueryInt("timeout_ms", defaultMediaWait)
	return time.Duration(min(ms, 3_600_000)) * time.Millisecond, err
}

// onlyForUsers keeps a file that needs a token out of the caches between.
func onlyForUsers(answer any, err error) (any, error) {
	if file, ok := answer.(fileAnswer); ok {
		file.cache = "private"
		return file, err
	}
	return answer, err
}

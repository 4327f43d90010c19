package seed

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/gif"  // sizes of pictures
	_ "image/jpeg" // the same
	_ "image/png"  // the same
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	_ "golang.org/x/image/webp" // the same

	"homeserver/internal/matrix"
	"homeserver/internal/media"
)

// uploaded is a file that was uploaded.
type uploaded struct {
	uri, contentType, filename string
	bytes, width, height       int
}

// upload uploads a file that the seed names.
func (l *loader) upload(ctx context.Context, userID, name string) (uploaded, error) {
	content, err := l.seed.content(name)
	if err != nil {
		return uploaded{}, err
	}
	u := uploaded{contentType: typeOf(name, content), filename: filepath.Base(name), bytes: len(content)}
	if size, _, err := image.DecodeConfig(bytes.NewReader(content)); err == nil {
		u.width, u.height = size.Width, size.Height
	}
	u.uri, err = l.Media.Upload(ctx, matrix.Session{UserID: userID}, media.Upload{
		Body: bytes.NewReader(content), Bytes: int64(len(content)), ContentType: u.contentType, Filename: u.filename,
	})
	if err != nil {
		return uploaded{}, fmt.Errorf("upload %s: %w", name, err)
	}
	return u, nil
}

// content returns the content of a file that the seed names.
func (s *Seed) content(name string) ([]byte, error) {
	if made, ok := s.made[name]; ok {
		return made, nil
	}
	content, err := os.ReadFile(s.fileAt(name))
	if err != nil {
		return nil, fmt.Errorf("read a file of the seed: %w", err)
	}
	return content, nil
}

// typeOf returns the media type of a file: by what it is, or else by its name.
func typeOf(name string, content []byte) string {
	found := http.DetectContentType(content)
	if strings.HasPrefix(found, "image/") || strings.HasPrefix(found, "video/") || strings.HasPrefix(found, "audio/") {
		return found
	}
	if byName := mime.TypeByExtension(filepath.Ext(name)); byName != "" {
		return byName
	}
	return found
}

// fileContent returns the content of the event that shows a file. With a body that is its caption.
func (u *uploaded) fileContent(body string) map[string]any {
	kind, _, _ := strings.Cut(u.contentType, "/")
	msgtype := "m.file"
	switch kind {
	case "image", "video", "audio":
		msgtype = "m." + kind
	}
	info := map[string]any{"mimetype": u.contentType, "size": u.bytes}
	if u.width > 0 {
		info["w"], info["h"] = u.width, u.height
	}
	content := map[string]any{"msgtype": msgtype, "body": u.filename, "filename": u.filename, "url": u.uri, "info": info}
	if body != "" {
		content["body"] = body
	}
	return content
}

package httpapi

import (
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
)

// minCompressed is the length from which answers are compressed.
const minCompressed = 1 << 10

// newCompress makes the middleware that compresses answers, at the fastest level: an
// answer is compressed once and read once, so that a better level does not pay off. No
// zstd: its encoders hold megabytes.
func newCompress() (func(http.Handler) http.HandlerFunc, error) {
	compress, err := gzhttp.NewWrapper(
		gzhttp.MinSize(minCompressed),
		gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.EnableZstd(false),
	)
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	return compress, nil
}

// compressed sends an answer by a writer that compresses it, if it turns out long
// enough and the client accepts that. Answers that are known to be short are not
// compressed.
func (e *Engine) compressed(w http.ResponseWriter, x *exchange, send func(http.ResponseWriter)) {
	if x.compressed {
		send(w)
		return
	}
	x.compressed = true
	e.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { send(w) })).ServeHTTP(w, x.request)
}

package blob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"homeserver/internal/media/blob"
	"homeserver/internal/media/blob/blobtest"
)

// TestScratchHasNoName makes sure that nothing is left of what is being received when
// the process is killed.
func TestScratchHasNoName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := blobtest.New(t).OpenAt(t, dir)
	file, err := b.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	if entries, err := os.ReadDir(dir + "/temp"); len(entries) != 0 || err != nil {
		t.Errorf("there is %v, %v", entries, err)
	}
}

// TestContentIsChecked has the content change between when it was hashed and when it is
// sent: the service refuses it.
func TestContentIsChecked(t *testing.T) {
	t.Parallel()
	b := blobtest.New(t).Open(t)
	file, err := b.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it is given up
	if _, err := io.WriteString(file, "changed"); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "content/ab/cd", file, [32]byte{1}); err == nil || !strings.Contains(err.Error(), "x-amz-content-sha256") {
		t.Errorf("got %v", err)
	}
	if got := keys(t, b, ""); got != nil {
		t.Errorf("there is %v", got)
	}
}

// TestRequestsAreTriedAgain has each request fail at first, in one of the ways there are.
func TestRequestsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(http.ResponseWriter){
		"broken off": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"busy":       func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"error":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := blobtest.New(t)
			b := s.Open(t)
			var known sync.Map
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if _, again := known.LoadOrStore(r.Method+r.URL.Path, true); !again {
					_, _ = io.CopyN(io.Discard, r.Body, 3)
					fail(w)
					return true
				}
				return false
			})
			put(t, b, "content/ab/cd", "at last")
			if got := get(t, b, "content/ab/cd"); got != "at last" {
				t.Errorf("got %q", got)
			}
			if got := keys(t, b, ""); len(got) != 1 {
				t.Errorf("there is %v", got)
			}
			if err := b.Remove(t.Context(), "content/ab/cd"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReadingGoesOn breaks an answer off in its middle, again and again.
func TestReadingGoesOn(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b := s.Open(t)
	content := strings.Repeat("0123456789abcdef", 20_000)
	put(t, b, "content/ab/cd", content)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		s.Serve(&shortWriter{w, 100_000}, r)
		return true
	})
	if got := get(t, b, "content/ab/cd"); got != content {
		t.Errorf("read %d bytes, want %d", len(got), len(content))
	}
}

// shortWriter breaks an answer off after so many bytes.
type shortWriter struct {
	http.ResponseWriter
	left int
}

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(p) >= w.left {
		_, _ = w.ResponseWriter.Write(p[:w.left])
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return 0, err
		}
		panic(http.ErrAbortHandler)
	}
	w.left -= len(p)
	return w.ResponseWriter.Write(p)
}

// TestReadingEnds has the service send nothing of the content, ever.
func TestReadingEnds(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b := s.Open(t)
	put(t, b, "content/ab/cd", strings.Repeat("x", 1000))
	object, err := b.Open(t.Context(), "content/ab/cd")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close() //nolint:errcheck // it was only read
	var asked atomic.Int32
	s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.WriteHeader(http.StatusOK)
		return true
	})
	if _, err := io.ReadAll(object); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("it was asked %d times, want 3", n)
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := blobtest.New(t).Open(t)
	put(t, b, "content/ab/cd", strings.Repeat("x", 10<<20))
	ctx, cancel := context.WithCancel(t.Context())
	object, err := b.Open(ctx, "content/ab/cd")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close() //nolint:errcheck // it was only read
	if _, err := io.ReadFull(object, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(object); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestPartsComeAlone makes sure that a part of a file is all that is asked for.
func TestPartsComeAlone(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b := s.Open(t)
	content := strings.Repeat("0123456789", 1000)
	put(t, b, "content/ab/cd", content)
	object, err := b.Open(t.Context(), "content/ab/cd")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close() //nolint:errcheck // it was only read
	var asked string
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		asked += r.Method + " " + r.Header.Get("Range") + "\n"
		return false
	})
	if _, err := object.Seek(-15, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(object); string(got) != content[len(content)-15:] || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if asked != "GET bytes=9985-\n" {
		t.Errorf("asked for %q", asked)
	}
}

// TestServiceThatIsAway makes sure that no error looks like that of a missing object.
func TestServiceThatIsAway(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b := s.Open(t)
	put(t, b, "content/ab/cd", "x")
	for name, fail := range map[string]func(){
		"down": s.Down,
		"refusing": func() {
			s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusForbidden)
				return true
			})
		},
	} {
		fail()
		_, opening := b.Open(t.Context(), "content/ab/cd")
		_, cleaning := b.Clean(t.Context(), 0)
		for what, err := range map[string]error{
			"open": opening, "put": try(b, "content/ab/ce", "y"), "remove": b.Remove(t.Context(), "content/ab/cd"), "clean": cleaning,
			"walk": b.Walk(t.Context(), "", func(string, int64) error { return nil }),
		} {
			if err == nil || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), blobtest.SecretKey) {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
	}
	s.Up()
	if got := get(t, b, "content/ab/cd"); got != "x" {
		t.Errorf("when it is back: got %q", got)
	}
	if _, err := b.Clean(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestBucketThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b, err := blob.NewBucket(blob.BucketOptions{
		Endpoint: s.URL, Region: blobtest.Region, Bucket: "another", PathStyle: true,
		AccessKey: blobtest.AccessKey, SecretKey: blobtest.SecretKey, LocalDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Clean(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "there is no such bucket") {
		t.Errorf("got %v", err)
	}
	if err := try(b, "content/ab/cd", "x"); err == nil {
		t.Error("an object was put where there is no bucket")
	}
}

// TestBucketInTheHost has the bucket named in the host of URLs.
func TestBucketInTheHost(t *testing.T) {
	t.Parallel()
	s := blobtest.New(t)
	b, err := blob.NewBucket(blob.BucketOptions{
		Endpoint: strings.Replace(s.URL, "127.0.0.1", "localhost", 1), Region: blobtest.Region, Bucket: blobtest.Bucket,
		AccessKey: blobtest.AccessKey, SecretKey: blobtest.SecretKey, LocalDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var host, path string
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		host, path = r.Host, r.URL.Path
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	if _, err := b.Open(t.Context(), "content/ab/cd"); !errors.Is(err, fs.ErrNotExist) {
		t.Skipf("this machine does not know names below localhost: %v", err)
	}
	if !strings.HasPrefix(host, blobtest.Bucket+".localhost:") || path != "/content/ab/cd" {
		t.Errorf("asked %s for %s", host, path)
	}
}

// TestStreamingTakesConstantMemory is not parallel, since it counts what the whole
// process allocates. The service answers without keeping anything.
func TestStreamingTakesConstantMemory(t *testing.T) {
	const size = 64 << 20
	s := blobtest.New(t)
	b := s.Open(t)
	zeros := make([]byte, 64<<10)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 64<<10))
			return true
		}
		w.Header().Set("Content-Length", "67108864")
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		for i := 0; i < size && r.Method == http.MethodGet; i += len(zeros) {
			if _, err := w.Write(zeros); err != nil {
				return true
			}
		}
		return true
	})
	file, err := b.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was never read
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := b.Put(t.Context(), "content/ab/cd", file, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	object, err := b.Open(t.Context(), "content/ab/cd")
	if err != nil {
		t.Fatal(err)
	}
	defer object.Close() //nolint:errcheck // it was only read
	if n, err := io.Copy(io.Discard, object); n != size || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<20 {
		t.Errorf("%d bytes were allocated", allocated)
	}
}

package blobtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"homeserver/internal/media/blob"
)

// The access to a service.
const (
	Bucket    = "media"
	Region    = "eu-test-1"
	AccessKey = "access"
	SecretKey = "hunter2"
)

// Service is an S3 service with one empty bucket.
type Service struct {
	// URL is the endpoint.
	URL string

	handler  http.Handler
	requests atomic.Int64

	mu        sync.Mutex
	intercept func(http.ResponseWriter, *http.Request) bool
}

// New starts a service that ends with the test.
func New(t testing.TB) *Service {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	s := &Service{handler: gofakes3.New(backend).Server()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Open opens the service's bucket, with a local folder of the test's own.
func (s *Service) Open(t testing.TB) *blob.Bucket {
	t.Helper()
	return s.OpenAt(t, t.TempDir())
}

// OpenAt opens the service's bucket, with a local folder.
func (s *Service) OpenAt(t testing.TB, localDir string) *blob.Bucket {
	t.Helper()
	bucket, err := blob.NewBucket(blob.BucketOptions{
		Endpoint: s.URL, Region: Region, Bucket: Bucket, Prefix: "files/", PathStyle: true,
		AccessKey: AccessKey, SecretKey: SecretKey, LocalDir: localDir,
	})
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// Intercept sets a function that is called for each request first, and reports whether it
// has answered it; nil: none.
func (s *Service) Intercept(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Down makes the service close every connection without an answer, until Up.
func (s *Service) Down() {
	s.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close() // that is the point
		}
		return true
	})
}

// Up ends Down and Intercept.
func (s *Service) Up() { s.Intercept(nil) }

// Requests returns the number of requests so far.
func (s *Service) Requests() int64 { return s.requests.Load() }

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mu.Lock()
	intercept := s.intercept
	s.mu.Unlock()
	if intercept == nil || !intercept(w, r) {
		s.Serve(w, r)
	}
}

// Serve answers a request, even if a function intercepts it.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+AccessKey+"/") {
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if sum := sha256.Sum256(body); r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) {
			refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	s.handler.ServeHTTP(w, r)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code></Error>`, code)
}

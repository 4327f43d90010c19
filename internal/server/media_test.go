package server

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// TestMediaOutlivesTheServer uploads to one run of the server and downloads from
// the next, which also removes what the first did not finish.
func TestMediaOutlivesTheServer(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	first := mustStart(t, cfg)
	alice := clientAt(t, first, 0).Register("alice", "wordpass")
	uri := alice.Do("POST", "/_matrix/media/v3/upload?filename=a.txt", "kept").OK().String("content_uri")
	shutDown(t, first)
	unfinished := filepath.Join(cfg.DataDir, "media", "temp", "received-1")
	if err := os.WriteFile(unfinished, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := os.Chtimes(unfinished, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}

	anyone := clientAt(t, mustStart(t, cfg), 0)
	r := anyone.Do("GET", "/_matrix/media/v3/download/"+strings.TrimPrefix(uri, "mxc://"), nil).OK()
	if string(r.Body) != "kept" {
		t.Errorf("got %q", r.Body)
	}
	matrixtest.Until(t, "what was not finished is gone", func() bool {
		_, err := os.Stat(unfinished)
		return os.IsNotExist(err)
	})
}

func TestMediaIsConfigured(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Media = config.Media{MaxUpload: 1000, UserQuota: 8192, Open: true, ThumbnailMemory: 1 << 20}
	cfg.URLPreviews.Enabled = true
	cfg.Outgoing.AllowedRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	alice := clientAt(t, mustStart(t, cfg), 0).Register("alice", "wordpass")
	if size := alice.Do("GET", "/_matrix/client/v1/media/config", nil).OK().At("m.upload.size"); size != 1000.0 {
		t.Errorf("clients are told of %v bytes", size)
	}
	const upload, preview = "/_matrix/media/v3/upload", "/_matrix/client/v1/media/preview_url?url="
	alice.Do("POST", upload, strings.Repeat("x", 1001)).Refused(413, "M_TOO_LARGE")
	alice.Do("POST", upload, "one").OK()
	alice.Do("POST", upload, "two").OK()
	alice.Do("POST", upload, "three").Refused(403, "M_FORBIDDEN")
	alice.Do("GET", preview+"http://127.0.0.1:9/", nil).Refused(502, "M_UNKNOWN")
	alice.Do("GET", preview+"http://127.0.0.2:9/", nil).Refused(502, "M_UNKNOWN") // allowed, but nobody is there
}

// TestDiskOfFilesIsNearlyFull has no private PostgreSQL, so that nothing but files
// depends on the disk.
func TestDiskOfFilesIsNearlyFull(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Limits.FreeDisk = 1 << 60
	alice := clientAt(t, mustStart(t, cfg), 0).Register("alice", "wordpass")
	alice.Do("POST", "/_matrix/media/v3/upload", "x").Refused(503, "M_UNKNOWN")
	alice.SendText(alice.CreateRoom(nil), "kept elsewhere")
}

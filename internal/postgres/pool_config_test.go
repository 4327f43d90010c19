package postgres

import (
	"strings"
	"testing"
	"time"
)

// TLS is as the URL says, down to the name that the certificate must have.
func TestTLSIsAsTheURLSays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode          string
		tls, verified bool
		fallsBack     bool
	}{
		{"disable", false, false, false},
		{"prefer", true, false, true},
		{"require", true, false, false},
		{"verify-full", true, true, false},
	} {
		t.Run(test.mode, func(t *testing.T) {
			t.Parallel()
			config, err := poolConfig(Options{URL: "postgres://me:secret@db.example.org/matrix?sslmode=" + test.mode})
			if err != nil {
				t.Fatal(err)
			}
			conn := config.ConnConfig
			if got := conn.TLSConfig != nil; got != test.tls {
				t.Fatalf("TLS = %v, want %v", got, test.tls)
			}
			if test.tls && conn.TLSConfig.InsecureSkipVerify == test.verified {
				t.Errorf("the certificate is verified: %v, want %v", !test.verified, test.verified)
			}
			if test.verified && conn.TLSConfig.ServerName != "db.example.org" {
				t.Errorf("the certificate must be of %q", conn.TLSConfig.ServerName)
			}
			plain := false
			for _, fallback := range conn.Fallbacks {
				plain = plain || fallback.TLSConfig == nil
			}
			if plain != test.fallsBack {
				t.Errorf("falls back to no TLS = %v, want %v", plain, test.fallsBack)
			}
		})
	}
}

func TestKeywordsAreAsGoodAsAURL(t *testing.T) {
	t.Parallel()
	config, err := poolConfig(Options{URL: "host=/run/postgresql user=me dbname=matrix pool_max_conns=7 lock_timeout=1s"})
	if err != nil {
		t.Fatal(err)
	}
	conn := config.ConnConfig
	if conn.Host != "/run/postgresql" || conn.User != "me" || conn.Database != "matrix" || config.MaxConns != 7 {
		t.Errorf("host %q, user %q, database %q, %d connections", conn.Host, conn.User, conn.Database, config.MaxConns)
	}
	if got := conn.RuntimeParams["lock_timeout"]; got != "1s" {
		t.Errorf("lock_timeout = %q", got)
	}
}

func TestConnectingIsBounded(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://db/matrix":                   connectTimeout,
		"postgres://db/matrix?connect_timeout=3": 3 * time.Second,
	} {
		config, err := poolConfig(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if got := config.ConnConfig.ConnectTimeout; got != want {
			t.Errorf("%s: the timeout is %v, want %v", url, got, want)
		}
		if config.PingTimeout == 0 {
			t.Error("a ping of an idle connection may hang for ever")
		}
	}
}

func TestBadURLIsToldInOneLine(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://db:port/matrix", "nonsense", "postgres://db/m?sslmode=maybe"} {
		_, openErr := Open(t.Context(), Options{URL: url})
		_, _, migrateErr := Migrate(t.Context(), url)
		for _, err := range []error{openErr, migrateErr} {
			if err == nil || !strings.HasPrefix(err.Error(), "database.url: ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
}

func TestPatienceFollowsTheStatementTimeout(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://db/matrix":                        30*time.Second + lateness,
		"postgres://db/matrix?statement_timeout=1500": 1500*time.Millisecond + lateness,
		"postgres://db/matrix?statement_timeout=2s":   2*time.Second + lateness,
		"postgres://db/matrix?statement_timeout=0":    0,
		"postgres://db/matrix?statement_timeout=1d":   0,
	} {
		config, err := poolConfig(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if got := newPatience(config.ConnConfig).statement; got != want {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
}

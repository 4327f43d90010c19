package main

import (
	"net/http"
	"regexp"
	"syscall"
	"testing"

	"homeserver/internal/matrixtest"
)

// With a delay a server that is to stop still answers, and says that it is about to go. An operator who does not
// want to wait sends the signal again.
func TestLoadBalancersHaveTimeToNotice(t *testing.T) {
	t.Parallel()
	p := spawn(t, environment(t, "HOMESERVER_SHUTDOWN_DELAY=300"))
	address := regexp.MustCompile(`http://\S+`).FindString(p.stdout.String())
	if code, body := get(t, address+"/ready"); code != http.StatusOK {
		t.Errorf("before the end: %d %s", code, body)
	}
	p.signal(t, syscall.SIGTERM)
	matrixtest.Until(t, "/ready says 503", func() bool {
		code, _ := get(t, address+"/ready")
		return code == http.StatusServiceUnavailable
	})
	if code, body := get(t, address+"/_matrix/client/versions"); code != http.StatusOK {
		t.Errorf("requests are not answered any more: %d %s", code, body)
	}
	if code, took := p.endByMore(t, syscall.SIGTERM); code != exitFailure || took > matrixtest.Patience {
		t.Errorf("code %d after %v: %s", code, took, p.stderr)
	}
}

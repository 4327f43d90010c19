package api

import (
	"log/slog"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestAccessLogNamesTheRouteAndNoSecret(t *testing.T) {
	t.Parallel()
	opts := services(t)
	lines := matrixtest.NewLog()
	opts.HTTP.Logger = slog.New(slog.NewTextHandler(lines, nil))
	c := matrixtest.New(t, newAPI(t, opts).Handler())
	alice := c.Register("alice", "wordpass")
	c.Do("GET", "/account/whoami?access_token="+alice.Token, nil).OK()
	c.Do("GET", "/no/such/thing?access_token="+alice.Token, nil).Refused(404, "M_UNRECOGNIZED")
	c.Do("GET", "/account/whoami?access_token="+alice.Token+"%zz", nil).Refused(400, "M_INVALID_PARAM")
	alice.Do("GET", matrixtest.Path("profile", "@secret:localhost"), nil).Refused(404, "M_NOT_FOUND")
	log := lines.Wait(t, "route=/profile/{userId} status=404")
	for _, want := range []string{
		"method=POST route=/register status=200",
		"method=GET route=/account/whoami status=200", "user=@alice:localhost", "client=127.0.0.1",
		"path=/_matrix/client/v3/no/such/thing status=404",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	for _, secret := range []string{alice.Token, "access_token", "wordpass", "@secret"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

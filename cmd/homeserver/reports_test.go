package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

func TestReportsAreReadableByTheOperator(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	environ := environment(t)
	r := start(t, environ)
	anybody := matrixtest.At(t, r.url(t, "http"), http.DefaultClient)
	alice, bob := anybody.Register("alice", "wordpass"), anybody.Register("bob", "wordpass")
	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
	bob.Join(room)
	said := alice.SendText(room, "something \x1b[31mterrible")
	long := "it is\n" + strings.Repeat("very ", 20) + "rude \u202e and \x1b]0;hello\x07"
	bob.Do("POST", matrixtest.Path("rooms", room, "report", said), map[string]any{"reason": long, "score": -50}).OK()
	bob.Do("POST", "/_matrix/client/v3"+matrixtest.Path("rooms", room, "report"), map[string]any{"reason": "no good"}).OK()
	bob.Do("POST", "/_matrix/client/v3"+matrixtest.Path("users", alice.UserID, "report"), map[string]any{"reason": ""}).OK()

	run := func(args string) string {
		t.Helper()
		got := runWith(t, nil, environ, strings.Fields(args)...)
		if got.code != exitOK || got.stderr != "" {
			t.Fatalf("%s: %+v", args, got)
		}
		if strings.ContainsAny(got.stdout, "\x1b\x07\u202e") {
			t.Errorf("%s: what users write reaches the terminal: %q", args, got.stdout)
		}
		return got.stdout
	}
	matches := func(got, want string) {
		t.Helper()
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}
	const by = ` +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +@bob:localhost +`
	matches(run("reports list"), `^REPORT +RECEIVED +BY +ABOUT +REASON\n`+
		`1`+by+`event by @alice:localhost +it is (very )+.*…\n`+
		`2`+by+`room `+regexp.QuoteMeta(room)+` +no good\n`+
		`3`+by+`user @alice:localhost *\n3 open, 0 closed\n$`)

	show := run("reports show 1")
	for _, part := range []string{
		"By:        @bob:localhost", "User:      @alice:localhost", room, said, "-50", "  it is\n  very very", `\u202e and \u001b]0;hello\u0007`,
		`"body": "something \u001b[31mterrible"`,
	} {
		if !strings.Contains(show, part) {
			t.Errorf("%q is missing in\n%s", part, show)
		}
	}
	alice.Do("PUT", matrixtest.Path("rooms", room, "redact", said, "t"), `{}`).OK()
	if show = run("reports show 1"); !strings.Contains(show, "Event, which was redacted:") || strings.Contains(show, "terrible") {
		t.Errorf("got %s", show)
	}

	matches(run("reports close --note=warned 2"), `^Closed report 2\.\n$`)
	matches(run("reports close 2"), `^Report 2 was closed already\.\n$`)
	matches(run("reports show 2"), `(?m)^Closed: +20`)
	matches(run("reports show 2"), `(?m)^Note:\n\n  warned$`)
	if got := run("reports list"); strings.Contains(got, "no good") || strings.Count(got, "\n") != 4 || !strings.HasSuffix(got, "\n2 open, 1 closed\n") {
		t.Errorf("got %s", got)
	}
	matches(run("reports list --all"), `(?m)^2 \(closed\)`+by+`room .* no good$`)
	if got := runWith(t, nil, environ, "reports", "close", "--note", strings.Repeat("x", 2001), "1"); got.code != exitFailure || !strings.Contains(got.stderr, "2000 bytes") {
		t.Errorf("got %+v", got)
	}

	for _, args := range []string{"reports show 9", "reports close 9"} {
		if got := runWith(t, nil, environ, strings.Fields(args)...); got.code != exitFailure || !strings.Contains(got.stderr, "there is no report 9") {
			t.Errorf("%s: got %+v", args, got)
		}
	}
	if got := runWith(t, nil, environ, "reports", "show", "first"); got.code != exitUsage {
		t.Errorf("got %+v", got)
	}
}

package pages_test

import (
	"net/http"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
	"homeserver/internal/server/config"
)

// called has the server have another name than localhost, and so another front page.
func called(name string) func(*config.Config) {
	return func(cfg *config.Config) { cfg.ServerName = name }
}

// visit asks for a page as a browser does.
func visit(c *matrixtest.Client, path string) *matrixtest.Response {
	c.T.Helper()
	request := c.Request(http.MethodGet, path, nil)
	request.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	return c.Send(request)
}

func TestThePlainPageNamesTheServer(t *testing.T) {
	t.Parallel()
	c := startServer(t, called("chat.example.org"))
	page := visit(c, "/")
	if page.Status != http.StatusOK || page.Header.Get("ETag") == "" || strings.Contains(page.Header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("got %d %v", page.Status, page.Header)
	}
	for _, text := range []string{"<h1>chat.example.org</h1>", "@name:chat.example.org", "the address of this page", "ask the people who run"} {
		if !strings.Contains(string(page.Body), text) {
			t.Errorf("%q is missing: %s", text, page.Body)
		}
	}
}

func TestThePlainPageHasTheConfiguredAddressAndHelp(t *testing.T) {
	t.Parallel()
	c := startServer(t, func(cfg *config.Config) {
		cfg.FrontPage, cfg.PublicBaseURL, cfg.Support.Page = config.FrontPagePlain, "https://matrix.example.org", "https://example.org/help?a=b&c=d"
	})
	body := string(visit(c, "/").Body)
	for _, text := range []string{"<strong>https://matrix.example.org</strong>", `href="https://example.org/help?a=b&amp;c=d"`} {
		if !strings.Contains(body, text) {
			t.Errorf("%q is missing: %s", text, body)
		}
	}
	if strings.Contains(body, "the address of this page") {
		t.Errorf("two addresses: %s", body)
	}
}

func TestTheFrontCanLeadElsewhere(t *testing.T) {
	t.Parallel()
	const target = "https://app.example.org/?from=matrix#/welcome"
	c := startServer(t, func(cfg *config.Config) { cfg.FrontPage = target })
	answer := visit(c, "/")
	if answer.Status != http.StatusFound || answer.Header.Get("Location") != target {
		t.Errorf("got %d to %q", answer.Status, answer.Header.Get("Location"))
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q: a browser would go on to the old target when it is changed", got)
	}
}

func TestFrontPagesInABrowser(t *testing.T) {
	t.Parallel()
	c, b := startServer(t, called("chat.example.org")), openTab(t)
	b.open(c.BaseURL + "/")
	b.waitForText("h1", "chat.example.org")
	b.readable()
	b.open(c.BaseURL + "/index.php?x=1")
	b.waitForText("h1", "There is nothing here")
	b.readable()
	b.click("main a")
	b.waitForText("h1", "chat.example.org")
}

func TestAnUnknownAddressIsAPageWithALink(t *testing.T) {
	t.Parallel()
	c := startServer(t)
	page := visit(c, "/no/such/page")
	if page.Status != http.StatusNotFound || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(string(page.Body), `href="/"`) {
		t.Errorf("got %d %s", page.Status, page.Body)
	}
	if got := page.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		t.Errorf("the policy is %q", got)
	}
	visit(c, "/_matrix/no/such/thing").Refused(http.StatusNotFound, "M_UNRECOGNIZED")
	c.Do(http.MethodGet, "/no/such/page", nil).Refused(http.StatusNotFound, "M_UNRECOGNIZED")
}

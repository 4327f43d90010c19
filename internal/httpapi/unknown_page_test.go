package httpapi

import (
	"net/http"
	"testing"

	"homeserver/internal/matrixtest"
)

// What browsers send for a page, and what clients send.
const (
	acceptOfFirefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	acceptOfChrome  = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)

// servePage serves one endpoint, and a page at unknown paths.
func servePage(t *testing.T) *matrixtest.Client {
	t.Helper()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("<p>a page</p>"))
	})
	return newBench(t, Options{UnknownPage: page}).serve(t, get("/known", ok))
}

func accepting(c *matrixtest.Client, method, path string, accept ...string) *matrixtest.Response {
	request := c.Request(method, path, nil)
	request.Header.Del("Accept")
	for _, value := range accept {
		request.Header.Add("Accept", value)
	}
	return c.Send(request)
}

func TestUnknownPathIsAPageForABrowser(t *testing.T) {
	t.Parallel()
	c := servePage(t)
	for name, accept := range map[string][]string{
		"Firefox":             {acceptOfFirefox},
		"Chrome":              {acceptOfChrome},
		"nothing else":        {"text/html"},
		"capitals and spaces": {" application/json ; q=0.5 ,\tTEXT/HTML ; Q=0.6 "},
		"any text":            {"text/*, application/json;q=0.1"},
		"JSON refused":        {"*/*, application/json;q=0"},
		"two headers":         {"application/json;q=0.1", "text/html"},
	} {
		answer := accepting(c, http.MethodGet, "/no/such/page", accept...)
		if answer.Status != 404 || string(answer.Body) != "<p>a page</p>" || answer.Header.Get("Content-Type") != "text/html" {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", name, got)
		}
	}
	if answer := accepting(c, http.MethodHead, "/no/such/page", acceptOfFirefox); answer.Status != 404 || answer.Header.Get("Content-Type") != "text/html" {
		t.Errorf("HEAD: %d, %q", answer.Status, answer.Header.Get("Content-Type"))
	}
}

func TestUnknownPathIsJSONForEverybodyElse(t *testing.T) {
	t.Parallel()
	c := servePage(t)
	for name, accept := range map[string][]string{
		"no header":         nil,
		"curl":              {"*/*"},
		"a client":          {"application/json"},
		"both alike":        {"text/html, application/json"},
		"axios":             {"application/json, text/plain, */*"},
		"HTML less":         {"text/html;q=0.4, application/json;q=0.5"},
		"HTML not at all":   {"text/html;q=0"},
		"HTML as a picture": {"image/*, text/html;q=high"},
		"beyond the scale":  {"text/html;q=7, */*;q=0.1"},
		"not a number":      {"text/html;q=NaN"},
		"no type":           {";,;;q=,/", ""},
	} {
		t.Log(name)
		accepting(c, http.MethodGet, "/no/such/page", accept...).Refused(404, "M_UNRECOGNIZED")
	}
}

// TestUnknownPathOfTheProtocolIsJSON also for browsers: clients count on it, and some run in one.
func TestUnknownPathOfTheProtocolIsJSON(t *testing.T) {
	t.Parallel()
	c := servePage(t)
	for _, path := range []string{"/_matrix", "/_matrix/", "/_matrix/client/v3/nothing", "//_matrix/nothing", "/%5Fmatrix/nothing"} {
		accepting(c, http.MethodGet, path, acceptOfFirefox).Refused(404, "M_UNRECOGNIZED")
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		accepting(c, method, "/no/such/page", acceptOfFirefox).Refused(404, "M_UNRECOGNIZED")
	}
	accepting(c, http.MethodPost, "/known", acceptOfFirefox).Refused(405, "M_UNRECOGNIZED")
	without := newBench(t, Options{}).serve(t, get("/known", ok))
	accepting(without, http.MethodGet, "/no/such/page", acceptOfFirefox).Refused(404, "M_UNRECOGNIZED")
}

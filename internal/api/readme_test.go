package api

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrixtest"
	"homeserver/internal/postgres"
	"homeserver/internal/server"
)

func readme(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(readmeFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// areaRow is a row of the README's table: an area, and how many of its endpoints are served.
var areaRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| \d+ of \d+ \|`)

func TestReadmeCountsEndpoints(t *testing.T) {
	t.Parallel()
	counts, order := countBy(t, func(s specified) string { return s.area })
	var shown []string
	want := areaRow.ReplaceAllStringFunc(readme(t), func(row string) string {
		area := areaRow.FindStringSubmatch(row)[1]
		shown = append(shown, area)
		return fmt.Sprintf("| %s | %d of %d |", area, counts[area].served, counts[area].all)
	})
	if !slices.Equal(shown, order) {
		t.Fatalf("the README has rows for %q, want %q", shown, order)
	}
	isUpToDate(t, readmeFile, want)
}

// missing are what the README names as not there yet, each with an endpoint of it.
var missing = map[string]specified{
	"federation":                         {method: "PUT", path: "/_matrix/federation/v1/send/{txnId}"},
	"OAuth 2.0":                          {method: "GET", path: "/_matrix/client/v1/auth_metadata"},
	"single sign-on":                     {method: "GET", path: "/_matrix/client/v3/login/sso/redirect"},
	"sliding sync":                       {method: "POST", path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"},
	"registration tokens":                {method: "GET", path: "/_matrix/client/v1/register/m.login.registration_token/validity"},
	"locking and suspending of accounts": {method: "PUT", path: "/_matrix/client/v1/admin/lock/{userId}"},
}

func TestReadmeSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	var named []string
	if line := regexp.MustCompile(`(?m)^Not yet: (.+)\.$`).FindStringSubmatch(readme(t)); line != nil {
		named = strings.Split(line[1], ", ")
	}
	table := routes()
	for _, what := range named {
		if _, known := missing[what]; !known {
			t.Errorf("the README names %q as not there yet, which this test doesn't know", what)
		}
	}
	for what, endpoint := range missing {
		if served := endpoint.servedBy(table) >= 0; served == slices.Contains(named, what) {
			t.Errorf("%s is served: %v. The README says %q", what, served, named)
		}
	}
}

func TestReadmeNamesVersions(t *testing.T) {
	t.Parallel()
	var answer struct{ Versions []string }
	c := matrixtest.New(t, newAPI(t, server.APIOptions{HTTP: httpapi.Options{}}).Handler())
	c.Do("GET", "/_matrix/client/versions", nil).OK().Into(&answer)
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	golang := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)[1]
	mautrix := regexp.MustCompile(`maunium.net/go/mautrix v(\d+\.\d+)`).FindSubmatch(module)[1]
	for _, text := range []string{
		fmt.Sprintf("mautrix-go %s ", mautrix),
		fmt.Sprintf("Versions %s to %s of the specification", answer.Versions[0], answer.Versions[len(answer.Versions)-1]),
		fmt.Sprintf("Go %s or newer", golang),
		fmt.Sprintf("PostgreSQL (%d or newer)", postgres.MinVersion/10000),
	} {
		if !strings.Contains(readme(t), text) {
			t.Errorf("the README does not say %q", text)
		}
	}
}

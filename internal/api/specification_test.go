package api

import (
	"os"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/httpapi"
)

// specified is an endpoint that the specification has for homeservers.
type specified struct {
	area, section string
	method, path  string
	version       string // of the specification that brought it; "" where the oldest place says it
}

// specification returns all of them, in the order of the areas and sections.
func specification(t *testing.T) []specified {
	t.Helper()
	content, err := os.ReadFile("testdata/specification.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []specified
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 5 {
			t.Fatalf("specification.tsv: not 5 cells: %q", line)
		}
		all = append(all, specified{cells[0], cells[1], cells[2], cells[3], cells[4]})
	}
	return all
}

// servedBy returns the index of the route that serves the endpoint, or -1. A parameter of the
// route may stand for a fixed part of the endpoint's path; the most literal route wins.
func (s specified) servedBy(table []httpapi.Route) int {
	best, fewest := -1, 0
	for i, rt := range table {
		for _, prefix := range rt.Prefixes {
			params := strings.Count(rt.Path, "{")
			if rt.Method == s.method && covers(prefix.Path+rt.Path, s.path) && (best < 0 || params < fewest) {
				best, fewest = i, params
			}
		}
	}
	return best
}

// covers reports whether requests to the specified path reach the pattern.
func covers(pattern, path string) bool {
	return slices.EqualFunc(strings.Split(pattern, "/"), strings.Split(strings.TrimSuffix(path, "/"), "/"), func(of, part string) bool {
		return strings.HasPrefix(of, "{") || of == part
	})
}

// count is how many endpoints of a section or an area are served.
type count struct{ served, all int }

// countBy counts the specified endpoints by a property of them, and returns its values in order.
func countBy(t *testing.T, of func(specified) string) (map[string]count, []string) {
	t.Helper()
	table := routes()
	counts, order := map[string]count{}, []string(nil)
	for _, s := range specification(t) {
		name := of(s)
		n, known := counts[name]
		if !known {
			order = append(order, name)
		}
		n.all++
		if s.servedBy(table) >= 0 {
			n.served++
		}
		counts[name] = n
	}
	return counts, order
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, path string
		want          bool
	}{
		{"/v3/pushrules", "/v3/pushrules/", true},
		{"/v3/pushrules/{scope}/{kind}", "/v3/pushrules/global/{kind}", true},
		{"/v3/rooms/{roomId}/join", "/v3/rooms/{roomId}/leave", false},
		{"/v3/profile/{userId}", "/v3/profile/{userId}/{keyName}", false},
		{"/v3/devices/x", "/v3/devices/{deviceId}", false},
	} {
		if got := covers(test.pattern, test.path); got != test.want {
			t.Errorf("%s covers %s: %v", test.pattern, test.path, got)
		}
	}
}

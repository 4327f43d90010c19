package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const dashboardFile = "docs/grafana-dashboard.json"

// dashboard is what a test wants to know of a Grafana dashboard.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID         int
		Type       string
		Title      string
		GridPos    struct{ H, W, X, Y int }
		Datasource source
		Targets    []struct {
			RefID      string
			Expr       string
			Datasource source
		}
	}
}

type source struct{ Type, UID string }

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(readFile(t, repository+dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardCanBeImported(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 {
		t.Errorf("UID %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	variables := map[string]string{}
	for _, v := range d.Templating.List {
		variables[v.Name] = v.Type
	}
	if want := map[string]string{"datasource": "datasource", "job": "query", "instance": "query"}; !maps.Equal(variables, want) {
		t.Errorf("the variables are %v, want %v", variables, want)
	}
	prometheus := source{"prometheus", "${datasource}"}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d %q: needs a title and an ID of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %q or beside the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource != prometheus || len(p.Targets) == 0 {
			t.Errorf("%s: asks %v for %d things", p.Title, p.Datasource, len(p.Targets))
		}
		for _, target := range p.Targets {
			if target.Datasource != prometheus || target.RefID == "" || strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("%s: %+v", p.Title, target)
			}
		}
	}
}

// Every metric that the dashboard asks for exists, with the labels that it picks or groups by.
func TestDashboardAsksForMetricsThatExist(t *testing.T) {
	t.Parallel()
	r := serveFrom(t, t.TempDir(), append(environment(t), "HOMESERVER_METRICS_LISTEN=localhost:0", oneBridge(t))...)
	defer r.end(syscall.SIGTERM)
	get(t, r.http+"/health")
	_, page := get(t, regexp.MustCompile(`http://\S+/metrics`).FindString(r.stdout.String()))
	labels := map[string]map[string]bool{}
	for _, sample := range regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? `).FindAllStringSubmatch(page, -1) {
		of := labels[sample[1]]
		if of == nil {
			// These are Prometheus' own.
			of = map[string]bool{"job": true, "instance": true}
			labels[sample[1]] = of
		}
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[2], -1) {
			of[label[1]] = true
		}
	}
	asked := map[string]bool{}
	ask := func(where, expression string) {
		// What a query groups by holds for each metric in it.
		var grouped []string
		for _, by := range regexp.MustCompile(`by \(([\w, ]+)\)`).FindAllStringSubmatch(expression, -1) {
			grouped = append(grouped, strings.Split(by[1], ", ")...)
		}
		for _, metric := range regexp.MustCompile(`\b((?:homeserver|go|process)_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(expression, -1) {
			of, exists := labels[metric[1]]
			if !exists {
				t.Errorf("%s: there is no metric %s", where, metric[1])
				continue
			}
			asked[metric[1]] = true
			names := grouped
			for _, label := range regexp.MustCompile(`(\w+)(?:=|!=|=~|!~)"`).FindAllStringSubmatch(metric[2], -1) {
				names = append(names, label[1])
			}
			for _, name := range names {
				if !of[name] && !strings.Contains(expression, "group_right") {
					t.Errorf("%s: %s has no label %s", where, metric[1], name)
				}
			}
		}
	}
	d := readDashboard(t)
	for _, v := range d.Templating.List {
		ask("variable "+v.Name, v.Definition)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			ask(p.Title, target.Expr)
		}
	}
	for _, exists := range regexp.MustCompile(`# TYPE (homeserver_\w+)`).FindAllStringSubmatch(page, -1) {
		name := exists[1]
		if !asked[name] && !asked[name+"_bucket"] && !asked[name+"_count"] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

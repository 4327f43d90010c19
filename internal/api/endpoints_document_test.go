package api

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"homeserver/internal/httpapi"
)

// updateDocuments is set by `make api-docs`.
var updateDocuments = flag.Bool("update", false, "write docs/api.md and the counts in README.md anew")

const (
	endpointsFile = "../../docs/api.md"
	readmeFile    = "../../README.md"
)

// isUpToDate compares a file with what it should be, or makes it so.
func isUpToDate(t *testing.T, file, want string) {
	t.Helper()
	if *updateDocuments {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	content, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(content), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("%s differs from the route table; `make api-docs` writes it anew (-file +want):\n%s", filepath.Base(file), diff)
	}
}

// source is the code behind a row of the route table.
type source struct{ method, handler, file string }

// routePackages are the packages below internal/api that have endpoints, in the order of
// [server.Routes].
var routePackages = []string{"client", "legacy", "server", "pages"}

// sources returns the code behind each row of the route table, in its order. It reads the source:
// the table itself has functions without names.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, folder := range routePackages {
		p := parsedPackage{folder: folder, files: token.NewFileSet(), functions: map[string]*ast.FuncDecl{}}
		p.parse(t)
		all = append(all, p.rowsIn(p.functions["Routes"])...)
	}
	return all
}

// parsedPackage is a package with endpoints, and its functions and methods by name.
type parsedPackage struct {
	folder    string
	files     *token.FileSet
	functions map[string]*ast.FuncDecl
}

func (p *parsedPackage) parse(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob(p.folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(p.files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				p.functions[f.Name.Name] = f
			}
		}
	}
}

// rowsIn returns the rows in a function, and in the functions that it calls for parts of the table.
func (p *parsedPackage) rowsIn(f *ast.FuncDecl) []source {
	var rows []source
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := selector.Sel.Name
		switch {
		case strings.HasSuffix(name, "Routes") && len(call.Args) == 0:
			rows = append(rows, p.rowsIn(p.functions[name])...)
		case slices.Contains([]string{"Get", "Post", "Put", "Delete"}, name) && len(call.Args) == 3:
			row := source{method: strings.ToUpper(name), handler: handlerIn(call.Args[2])}
			if handler := p.functions[row.handler]; handler != nil {
				row.file = filepath.ToSlash(p.files.Position(handler.Pos()).Filename)
			}
			rows = append(rows, row)
		}
		return true
	})
	return rows
}

// handlerIn returns the name of the innermost method that the last cell of a row names.
func handlerIn(cell ast.Expr) string {
	name := ""
	ast.Inspect(cell, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := selector.X.(*ast.Ident); ok && of.Name == "a" {
				name = selector.Sel.Name
			}
		}
		return true
	})
	return name
}

// The groups of the rows that the specification of today does not have.
const (
	earlier   = "Only in earlier generations"
	proposals = "Proposals"
	own       = "For operators, tools and browsers"
)

// groupOf returns the group of a route that is none of the specification's.
func groupOf(rt httpapi.Route) string {
	switch {
	case rt.Prefixes[0].Generation == httpapi.NoGeneration:
		return own
	case !slices.ContainsFunc(rt.Prefixes, func(p httpapi.Prefix) bool { return !isProposal(p) }):
		return proposals
	default:
		return earlier
	}
}

func isProposal(p httpapi.Prefix) bool { return strings.Contains(p.Path, "/unstable") }

// callers says in words for whom an endpoint is.
var callers = map[httpapi.Access]string{
	httpapi.AccessPublic:   "anyone",
	httpapi.AccessOptional: "anyone; more with a token",
	httpapi.AccessAnyone:   "anyone; more with a token",
	httpapi.AccessUser:     "users",
	httpapi.AccessGuest:    "users and guests",
}

// placesOf returns the prefixes of a route, the oldest first.
func placesOf(rt httpapi.Route) []string {
	prefixes := slices.Clone(rt.Prefixes)
	slices.SortStableFunc(prefixes, func(a, b httpapi.Prefix) int {
		if isProposal(a) != isProposal(b) {
			if isProposal(b) {
				return -1
			}
			return 1
		}
		return int(a.Generation) - int(b.Generation)
	})
	var places []string
	for _, p := range prefixes {
		if p.Path != "" {
			places = append(places, strings.TrimPrefix(strings.TrimPrefix(p.Path, "/_matrix/client/"), "/_matrix/"))
		}
	}
	return places
}

// sinceOf returns the version or the generation that brought an endpoint, or the proposal.
func sinceOf(rt httpapi.Route, version string) string {
	places := placesOf(rt)
	if version != "" || len(places) == 0 {
		return version
	}
	since := places[0]
	if rest, of := strings.CutPrefix(since, "unstable/"); of {
		return path.Base(rest)
	}
	return since
}

// endpointsDocument returns what docs/api.md should be.
func endpointsDocument(t *testing.T) string {
	t.Helper()
	table, code := routes(), sources(t)
	if len(code) != len(table) {
		t.Fatalf("the route table has %d rows, of which %d were found in the source", len(table), len(code))
	}
	groups, version := make([]string, len(table)), make([]string, len(table))
	var order, missing []string
	for _, s := range specification(t) {
		if !slices.Contains(order, s.section) {
			order = append(order, s.section)
		}
		i := s.servedBy(table)
		if i < 0 {
			missing = append(missing, fmt.Sprintf("| %s | `%s %s` |", s.section, s.method, s.path))
			continue
		}
		if groups[i] == "" {
			groups[i], version[i] = s.section, s.version
		}
	}
	rows := map[string][]string{}
	for i, rt := range table {
		if code[i].method != rt.Method || code[i].file == "" {
			t.Fatalf("row %d of the route table is %s %s; the source has %+v there", i, rt.Method, rt.Path, code[i])
		}
		if groups[i] == "" {
			groups[i] = groupOf(rt)
		}
		rows[groups[i]] = append(rows[groups[i]], fmt.Sprintf("| `%s %s` | %s | %s | %s | %s | `%s` in %s |",
			rt.Method, rt.Path, strings.Join(placesOf(rt), ", "), sinceOf(rt, version[i]), callers[rt.Handler.Access], rt.Work.Kind, code[i].handler, code[i].file))
	}
	counts, _ := countBy(t, func(s specified) string { return s.section })
	return renderEndpoints(append(order, proposals, earlier, own), rows, counts, missing)
}

const endpointsIntroduction = `# The endpoints

Every endpoint of every generation. This page is made from the route table by ` + "`make api-docs`" + `; a test compares the two.

- **Path** begins below each place in the next column. A place is below ` + "`/_matrix/client/`" + `, or below ` + "`/_matrix/`" + ` for ` + "`media/`" + ` and ` + "`federation/`" + `; where
  there is none, the path is whole. An endpoint answers in the same shape at all its places.
- **Since** is the version of the specification that brought the endpoint, or the first generation of the API, or the proposal.
- **Callers**: *users* need an access token, and *guests* are accounts without a password. Application services may do what their users may.
- **Limit** is the limit that counts each request, by its key in ` + "`rate_limits`" + ` of the configuration. Every request also counts as ` + "`requests`" + `.
- **Code** is the handler, and its file below ` + "`internal/api/`" + `.

`

// renderEndpoints writes the document.
func renderEndpoints(order []string, rows map[string][]string, counts map[string]count, missing []string) string {
	var text strings.Builder
	text.WriteString(endpointsIntroduction)
	text.WriteString("## How much of the specification is served\n\nOf the endpoints that version 1.19 has for homeservers. What is missing stands at the end.\n\n| Section | Served |\n|---|---|\n")
	for _, section := range order {
		if n := counts[section]; n.all > 0 {
			fmt.Fprintf(&text, "| %s | %d of %d |\n", section, n.served, n.all)
		}
	}
	for _, section := range order {
		if len(rows[section]) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n## %s\n\n| Path | Places | Since | Callers | Limit | Code |\n|---|---|---|---|---|---|\n%s\n", section, strings.Join(rows[section], "\n"))
	}
	fmt.Fprintf(&text, "\n## Not served\n\n| Section | Endpoint |\n|---|---|\n%s\n", strings.Join(missing, "\n"))
	return text.String()
}

func TestEndpointsDocument(t *testing.T) {
	t.Parallel()
	isUpToDate(t, endpointsFile, endpointsDocument(t))
}

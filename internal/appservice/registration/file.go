package registration

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"homeserver/internal/matrix"
	"homeserver/internal/yamlfile"
)

const (
	// maxFileBytes is more than any registration needs.
	maxFileBytes = 1 << 20
	// maxText bounds IDs and the names of protocols, in bytes.
	maxText = 255
	// maxRegex bounds an expression, in bytes.
	maxRegex = 10_000
)

// Read reads one file. The error has a line for each mistake.
func Read(path, serverName string) (*Registration, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the registration of an application service: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: is longer than %d bytes", path, maxFileBytes)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the registration of an application service: %w", err)
	}
	return Parse(path, content, serverName)
}

// Parse reads a registration from the content of the file at path.
func Parse(path string, content []byte, serverName string) (*Registration, error) {
	file, err := yamlfile.Parse(path, content)
	if err != nil {
		return nil, err
	}
	r := &reader{path: path}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, fmt.Errorf("%s: is empty", path)
	}
	read := r.registration(file.Docs[0].Body, serverName)
	return read, errors.Join(r.problems...)
}

// reader reads one file, and gathers what is wrong with it.
type reader struct {
	path     string
	problems []error
}

func (r *reader) report(n ast.Node, key, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %s: %s", r.path, lineOf(n), key, fmt.Sprintf(format, args...)))
}

func lineOf(n ast.Node) int { return n.GetToken().Position.Line }

// fields are the values of a mapping by their keys.
type fields struct {
	of     ast.Node
	values map[string]ast.Node
}

// mapping reads a mapping; nil, after a report, for anything else.
func (r *reader) mapping(n ast.Node, key string) *fields {
	if text := yamlfile.Unsupported(n); text != "" {
		r.report(n, key, "%s", text)
		return nil
	}
	mapping, ok := n.(ast.MapNode)
	if !ok {
		r.report(n, key, "must be a mapping of keys to values")
		return nil
	}
	f := &fields{n, map[string]ast.Node{}}
	for it := mapping.MapRange(); it.Next(); {
		f.values[it.Key().GetToken().Value] = it.Value()
	}
	return f
}

// get returns the value of a key; nil if there is none, or it is null.
func (f *fields) get(key string) ast.Node {
	n := f.values[key]
	if _, null := n.(*ast.NullNode); null {
		return nil
	}
	return n
}

func (r *reader) registration(n ast.Node, serverName string) *Registration {
	f := r.mapping(n, "registration")
	if f == nil {
		return nil
	}
	reg := &Registration{
		ID: r.required(f, "id"), ASToken: Token(r.token(f, "as_token")), HSToken: Token(r.token(f, "hs_token")),
		URL: r.url(f), Sender: r.sender(f, serverName), RateLimited: r.flag(f, true, "rate_limited"),
		ReceiveEphemeral: r.flag(f, false, "receive_ephemeral", "de.sorunome.msc2409.push_ephemeral", "push_ephemeral"),
		DeviceChanges:    r.flag(f, false, "org.matrix.msc3202"),
		Protocols:        r.protocols(f),
		serverName:       serverName, file: r.path, lines: map[string]int{},
	}
	reg.OldEphemeral = reg.ReceiveEphemeral && f.get("receive_ephemeral") == nil
	r.flag(f, false, "io.element.msc4190") // devices can be made in any case
	r.namespaces(f, reg)
	for key, value := range f.values {
		reg.lines[key] = lineOf(value)
	}
	return reg
}

// text returns the text of a value that there is.
func (r *reader) text(n ast.Node, key string, most int) string {
	if unsupported := yamlfile.Unsupported(n); unsupported != "" {
		r.report(n, key, "%s", unsupported)
		return ""
	}
	text, ok := yamlfile.Scalar(n)
	switch {
	case !ok:
		r.report(n, key, "must be a single plain value")
	case len(text) > most || !matrix.IsText(text):
		r.report(n, key, "must be text of at most %d bytes", most)
	default:
		return text
	}
	return ""
}

// required returns the text of a key that there must be.
func (r *reader) required(f *fields, key string) string {
	n := f.get(key)
	if n == nil {
		r.report(f.of, key, "is missing")
		return ""
	}
	before := len(r.problems)
	text := r.text(n, key, maxText)
	if text == "" && len(r.problems) == before {
		r.report(n, key, "must not be empty")
	}
	return text
}

// token returns a token, which must be one that can be sent in a header.
func (r *reader) token(f *fields, key string) string {
	token := r.required(f, key)
	if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.report(f.get(key), key, "must be of printable ASCII characters without spaces")
		return ""
	}
	return token
}

// url returns the address of the service, of which null and nothing mean that there is none.
func (r *reader) url(f *fields) string {
	if _, there := f.values["url"]; !there {
		r.report(f.of, "url", "is missing: write null if the service is not to be called")
		return ""
	}
	n := f.get("url")
	if n == nil {
		return ""
	}
	text := strings.TrimRight(r.text(n, "url", 2048), "/")
	if text != "" && !isServiceURL(text) {
		r.report(n, "url", "must be an http, https or unix URL without a user, a query or a fragment, such as http://localhost:29318, "+
			"or unix:///run/bridge.sock; null if the service is not to be called")
	}
	return text
}

func isServiceURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	if u.Scheme == "unix" {
		return u.Host == "" && strings.HasPrefix(u.Path, "/")
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// sender returns the user ID of sender_localpart. Bridges make local parts with capital
// letters, which only users of old may have; the specification does not limit them.
func (r *reader) sender(f *fields, serverName string) string {
	localpart := r.required(f, "sender_localpart")
	if localpart == "" {
		return ""
	}
	userID := "@" + localpart + ":" + serverName
	if parsed, _, err := matrix.ParseUserID(userID); err != nil || parsed != localpart {
		r.report(f.get("sender_localpart"), "sender_localpart", "must be the part of a user ID between @ and the colon, which is %s:%s as a whole", "@name", serverName)
		return ""
	}
	return userID
}

// flag returns the first of the keys that is there, which are names of one setting.
func (r *reader) flag(f *fields, fallback bool, keys ...string) bool {
	for _, key := range keys {
		n := f.get(key)
		if n == nil {
			continue
		}
		switch text, _ := yamlfile.Scalar(n); text {
		case "true":
			return true
		case "false":
			return false
		}
		r.report(n, key, "must be true or false")
	}
	return fallback
}

func (r *reader) protocols(f *fields) []string {
	var list []string
	for _, n := range r.items(f, "protocols") {
		if name := r.text(n, "protocols", maxText); name != "" {
			list = append(list, name)
		}
	}
	return list
}

// items returns those of a list; none if it is not there.
func (r *reader) items(f *fields, key string) []ast.Node {
	n := f.get(key)
	if n == nil {
		return nil
	}
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.report(n, key, "must be a list, one item on each line after a dash")
		return nil
	}
	return sequence.Values
}

func (r *reader) namespaces(f *fields, reg *Registration) {
	n := f.get("namespaces")
	if n == nil {
		r.report(f.of, "namespaces", "is missing")
		return
	}
	kinds := r.mapping(n, "namespaces")
	if kinds == nil {
		return
	}
	reg.Users = r.namespacesOf(kinds, "users")
	reg.Aliases = r.namespacesOf(kinds, "aliases")
	reg.Rooms = r.namespacesOf(kinds, "rooms")
}

func (r *reader) namespacesOf(f *fields, kind string) Namespaces {
	var list Namespaces
	key := "namespaces." + kind
	for _, n := range r.items(f, kind) {
		if one, ok := r.namespace(n, key); ok {
			list = append(list, one)
		}
	}
	return list
}

func (r *reader) namespace(n ast.Node, key string) (Namespace, bool) {
	f := r.mapping(n, key)
	if f == nil {
		return Namespace{}, false
	}
	regex, exclusive := f.get("regex"), f.get("exclusive")
	if regex == nil {
		r.report(n, key, "regex is missing")
		return Namespace{}, false
	}
	if exclusive == nil {
		r.report(n, key, "exclusive is missing")
		return Namespace{}, false
	}
	text := r.text(regex, key+".regex", maxRegex)
	if text == "" {
		return Namespace{}, false
	}
	one, err := newNamespace(text, r.flag(f, false, "exclusive"))
	if err != nil {
		r.report(regex, key+".regex", "%v", err)
	}
	return one, err == nil
}

// Package yamlfile parses the YAML files that operators write: the configuration, and the
// registrations of application services. Errors name the file and the line, say in plain
// words what is wrong, and never quote the line: secrets may be there.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Parse parses the content of the YAML file at path. The error names the line, and
// never quotes it: secrets may be there.
func Parse(path string, content []byte) (*ast.File, error) {
	content, err := plainText(path, content)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(content, 0)
	if err == nil {
		return file, nil
	}
	syntax, ok := errors.AsType[*yaml.SyntaxError](err)
	if !ok {
		return nil, fmt.Errorf("%s: is not YAML", path)
	}
	line := syntax.Token.Position.Line
	if isIndentedByTab(content, line) {
		return nil, fmt.Errorf("%s:%d: begins with a tab, which YAML does not allow: indent with spaces", path, line)
	}
	return nil, fmt.Errorf("%s:%d: %s", path, line, syntax.Message)
}

// plainText returns the text of a file in UTF-8, without the byte order mark that editors of Windows write
// and YAML allows (YAML 1.2.2, section 5.2).
func plainText(path string, content []byte) ([]byte, error) {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%s: is encoded in UTF-16: save it as UTF-8", path)
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	for number, line := range bytes.Split(content, []byte("\n")) {
		if !utf8.Valid(line) {
			return nil, fmt.Errorf("%s:%d: is not encoded in UTF-8: save the file as UTF-8", path, number+1)
		}
	}
	return content, nil
}

// isIndentedByTab reports whether there is a tab before the first other character of a line.
func isIndentedByTab(content []byte, line int) bool {
	lines := bytes.Split(content, []byte("\n"))
	if line < 1 || line > len(lines) {
		return false
	}
	text := lines[line-1]
	return bytes.ContainsRune(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t')
}

// Unsupported returns which part of YAML a node is that has no place in such a file; "" if it is another.
func Unsupported(n ast.Node) string {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "anchors (&name), aliases (*name) and merge keys (<<) are not supported: write the value out at each place"
	case *ast.TagNode:
		return "tags (!name) are not supported: write the value without"
	case *ast.DirectiveNode:
		return "directives (%NAME) are not supported: remove the line"
	case *ast.MappingKeyNode:
		return "keys after a question mark are not supported: write key: value"
	}
	return ""
}

// Scalar returns the text of a value as it is written, so that 012 stays 012 where text is wanted.
func Scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

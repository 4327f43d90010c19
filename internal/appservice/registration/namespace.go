package registration

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Namespace is a set of identifiers. Application Service API, "Registration".
type Namespace struct {
	// Regex is the expression as it was written.
	Regex string
	// Exclusive says whether nobody else may make anything in it.
	Exclusive bool

	pattern *regexp.Regexp
}

// newNamespace compiles an expression. The error says what the expression may not have.
func newNamespace(text string, exclusive bool) (Namespace, error) {
	_, err := regexp.Compile(text) // alone, so that no bracket in it can close the group
	if err == nil {
		var pattern *regexp.Regexp
		if pattern, err = regexp.Compile("^(?:" + text + ")"); err == nil {
			return Namespace{text, exclusive, pattern}, nil
		}
	}
	if problem, ok := errors.AsType[*syntax.Error](err); ok {
		switch {
		case strings.HasPrefix(problem.Expr, "(?"):
			err = errors.New("look-aheads and look-behinds, such as (?!…), are not supported: write the expression without, " +
				"or in several namespaces")
		case problem.Code == syntax.ErrInvalidEscape:
			err = fmt.Errorf("has the escape %s, which is not supported", problem.Expr)
		default:
			err = fmt.Errorf("is no regular expression: %s", problem.Code)
		}
	}
	return Namespace{}, err
}

// Namespaces are those of one kind of identifiers.
type Namespaces []Namespace

// Match reports whether an identifier is in one of them.
func (n Namespaces) Match(id string) bool {
	return slices.ContainsFunc(n, func(n Namespace) bool { return n.pattern.MatchString(id) })
}

// MatchExclusive reports whether an identifier is in an exclusive one.
func (n Namespaces) MatchExclusive(id string) bool {
	return slices.ContainsFunc(n, func(n Namespace) bool { return n.Exclusive && n.pattern.MatchString(id) })
}

// isLocal reports whether an identifier is of this server.
func isLocal(id string, sigil byte, serverName string) bool {
	if id == "" || id[0] != sigil {
		return false
	}
	_, server, ok := strings.Cut(id, ":")
	return ok && server == serverName
}

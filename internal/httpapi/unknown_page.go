package httpapi

import (
	"net/http"
	"strconv"
	"strings"
)

// refuseUnknown answers a request for a path that nothing is served at: a person in a
// browser gets a page, every client 404 M_UNRECOGNIZED.
func (e *Engine) refuseUnknown(x *exchange) {
	if e.unknownPage != nil && isForPeople(x.request) {
		e.respond(x, e.unknownPage)
		return
	}
	e.refuse(x, x, ErrUnknownPath)
}

// isForPeople reports whether a request looks like one of a person who has followed a
// link: it is outside of the protocol's paths, and prefers HTML to JSON.
func isForPeople(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	return first != "_matrix" && prefersHTML(r.Header.Values("Accept"))
}

// prefersHTML reports whether a client that sends these Accept headers would rather have
// HTML than JSON. One that takes anything alike, as curl and libraries do, would not.
// RFC 9110, section 12.5.1.
func prefersHTML(accept []string) bool {
	html, json := preference{}, preference{}
	for _, header := range accept {
		for item := range strings.SplitSeq(header, ",") {
			kind, parameters, _ := strings.Cut(item, ";")
			kind = strings.ToLower(strings.TrimSpace(kind))
			quality := qualityOf(parameters)
			html.note(kind, quality, "text/html", "text/*")
			json.note(kind, quality, "application/json", "application/*")
		}
	}
	return html.quality > json.quality
}

// preference is how much a client wants one type: what the range says that names it best.
type preference struct{ precision, quality float64 }

func (p *preference) note(kind string, quality float64, exact, group string) {
	var precision float64
	switch kind {
	case exact:
		precision = 3
	case group:
		precision = 2
	case "*/*":
		precision = 1
	default:
		return
	}
	if precision >= p.precision {
		*p = preference{precision, quality}
	}
}

// qualityOf returns the weight among the parameters of a range: from 0 to 1, 1 if there
// is none, 0 if it can't be read.
func qualityOf(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

package preview

import (
	"errors"
	"io"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

const (
	maxProperties = 64
	maxNameBytes  = 64
	maxTextRunes  = 1000
)

// graph has the data that a page has about itself.
type graph struct {
	properties map[string]string // by OpenGraph's names, without those of the picture
	picture    string            // a URL, perhaps relative; empty: none
}

// readPage reads a page by the tags of OpenGraph, or else of others with the same
// meaning. The error is one of reading; of a page that breaks off, the part before that
// suffices.
func readPage(r io.Reader) (graph, error) {
	tags := html.NewTokenizer(r)
	found := map[string]string{}
	for {
		switch tags.Next() {
		case html.ErrorToken:
			if err := tags.Err(); !errors.Is(err, io.EOF) && len(found) == 0 {
				return graph{}, err
			}
			return newGraph(found), nil
		case html.StartTagToken, html.SelfClosingTagToken:
			name, attributes := tags.TagName()
			switch {
			case string(name) == "meta" && attributes:
				readMeta(tags, found)
			case string(name) == "title" && tags.Next() == html.TextToken:
				addProperty(found, "title", string(tags.Text()))
			}
		}
	}
}

// readMeta reads a <meta> tag: its name is in property or in name.
func readMeta(tags *html.Tokenizer, found map[string]string) {
	var name, content string
	for more := true; more; {
		var key, value []byte
		key, value, more = tags.TagAttr()
		switch string(key) {
		case "property", "name":
			if name == "" {
				name = strings.ToLower(strings.TrimSpace(string(value)))
			}
		case "content":
			content = string(value)
		}
	}
	switch {
	case strings.HasPrefix(name, "og:") && len(name) <= maxNameBytes,
		name == "description", name == "twitter:title", name == "twitter:description", name == "twitter:image":
		addProperty(found, name, content)
	}
}

// addProperty records a text: the first one of a name counts.
func addProperty(found map[string]string, name, text string) {
	text = cleanText(text)
	if _, known := found[name]; !known && text != "" && len(found) < maxProperties {
		found[name] = text
	}
}

// cleanText makes one line of a text, without control characters, of a bounded length.
func cleanText(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxTextRunes {
		text = string(runes[:maxTextRunes]) + "…"
	}
	return text
}

// newGraph makes a graph of the texts that were found.
func newGraph(found map[string]string) graph {
	g := graph{properties: map[string]string{}}
	first := func(names ...string) string {
		for _, name := range names {
			if text := found[name]; text != "" {
				return text
			}
		}
		return ""
	}
	g.picture = first("og:image:secure_url", "og:image", "og:image:url", "twitter:image")
	for name, text := range found {
		if strings.HasPrefix(name, "og:") && name != "og:image" && !strings.HasPrefix(name, "og:image:") {
			g.properties[name] = text
		}
	}
	if title := first("og:title", "twitter:title", "title"); title != "" {
		g.properties["og:title"] = title
	}
	if description := first("og:description", "twitter:description", "description"); description != "" {
		g.properties["og:description"] = description
	}
	return g
}

package config

import "strings"

// What may stand at the path /, beside the URL of a redirect.
const (
	// FrontPageAuto leaves it to [Config.FrontPageShown].
	FrontPageAuto = "auto"
	// FrontPageTutorial is the interactive tutorial.
	FrontPageTutorial = "tutorial"
	// FrontPagePlain names the server, and says how to connect a client.
	FrontPagePlain = "plain"
)

// FrontPageShown returns what stands at /: [FrontPageTutorial], [FrontPagePlain] or the URL of a redirect. Unless it is
// configured, the tutorial is for servers called localhost, on which people learn.
func (c *Config) FrontPageShown() string {
	switch {
	case c.FrontPage != FrontPageAuto:
		return c.FrontPage
	case c.ServerHost() == "localhost":
		return FrontPageTutorial
	default:
		return FrontPagePlain
	}
}

func (v *validator) frontPage(c *Config) {
	const key = "front_page"
	switch c.FrontPage {
	case FrontPageAuto, FrontPageTutorial, FrontPagePlain:
		return
	}
	v.check(isPageURL(c.FrontPage), key,
		"must be auto, tutorial, plain, or the http or https URL of another page, such as https://app.example.org")
	v.check(c.PublicBaseURL == "" || strings.TrimSuffix(c.FrontPage, "/") != strings.TrimSuffix(c.PublicBaseURL, "/"), key,
		"leads back to this server, whose public_base_url it is")
}

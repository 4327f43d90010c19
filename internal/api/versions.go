package api

import "net/http"

// specVersions are the versions of the specification whose endpoints are served,
// in the shapes that they have there. A later one joins the list together with
// what it has made mandatory.
var specVersions = []string{
	"r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1",
	"v1.1",
}

type versionsAnswer struct {
	Versions         []string `json:"versions"`
	UnstableFeatures empty    `json:"unstable_features"`
}

// versions tells which versions of the specification the server speaks. Anybody
// may ask. Section "API Versions", GET /_matrix/client/versions.
func (a *API) versions(*http.Request) (any, error) {
	return versionsAnswer{Versions: specVersions}, nil
}

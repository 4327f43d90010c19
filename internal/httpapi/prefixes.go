package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// Generation is a generation of the client-server API. Later ones are greater.
type Generation int

// The generations. Endpoints that are younger than v3, or proposals still, belong to
// V3.
const (
	NoGeneration Generation = iota // of what is not the client-server API
	APIV1
	V2Alpha
	R0
	V3
)

// Prefix is a place where endpoints are served.
type Prefix struct {
	Path       string
	Generation Generation
}

// Prefixes are the places where one endpoint is served in the same shape.
type Prefixes []Prefix

// Where endpoints are served. One that a generation of the API has in another
// shape gets a row of its own for it, with an adapter over the same services.
var (
	Root   = Prefixes{{"", NoGeneration}}
	Client = Prefixes{{"/_matrix/client/r0", R0}, {"/_matrix/client/v3", V3}}

	// The generations before those. The second was written in two ways. Their endpoints
	// have mostly the same shape today; the younger one had only those that were new in
	// it.
	OnlyV1       = Prefixes{{"/_matrix/client/api/v1", APIV1}}
	OnlyV2Alpha  = Prefixes{{"/_matrix/client/v2_alpha", V2Alpha}, {"/_matrix/client/api/v2_alpha", V2Alpha}}
	SinceV1      = slices.Concat(OnlyV1, Client)
	SinceV2Alpha = slices.Concat(OnlyV2Alpha, Client)
	Everywhere   = slices.Concat(OnlyV1, OnlyV2Alpha, Client)
	UntilR0      = slices.Concat(OnlyV1, Client[:1])

	// MisprintedR0 is how one version of the specification wrote r0 here and there.
	MisprintedR0 = Prefixes{{"/_matrix/client/api/r0", R0}}

	// SinceV3 is for endpoints that r0 never had, and ClientV1 for endpoints that are
	// younger than v3.
	SinceV3  = Client[1:]
	ClientV1 = Prefixes{{"/_matrix/client/v1", V3}}

	// Federation is the server-server API, of which services that users have chosen need two endpoints.
	Federation = Prefixes{{"/_matrix/federation/v1", NoGeneration}}

	// Files, for everybody who knows their address, and only for users who are logged
	// in.
	OpenMedia   = Prefixes{{"/_matrix/media/v1", V3}, {"/_matrix/media/r0", R0}, {"/_matrix/media/v3", V3}}
	AuthedMedia = Prefixes{{"/_matrix/client/v1/media", V3}, {"/_matrix/client/unstable/org.matrix.msc3916/media", V3}}

	// LateMedia are files that come after their URI, also by the name that this had as a proposal.
	LateMedia = slices.Concat(OpenMedia, Prefixes{{"/_matrix/media/unstable/fi.mau.msc2246", V3}})
)

// OrUnstable adds the place where an endpoint was as a proposal: "" for
// /_matrix/client/unstable itself, else a folder of it. Some clients in use ask there
// first, and some for as long as /versions does not list the version of the
// specification that has the endpoint.
func (p Prefixes) OrUnstable(proposal string) Prefixes {
	return slices.Concat(p, Prefixes{{strings.TrimSuffix("/_matrix/client/unstable/"+proposal, "/"), V3}})
}

// Get returns the row of an endpoint that answers GET, and HEAD.
func (p Prefixes) Get(path string, work Work, h Handler) Route {
	return Route{p, http.MethodGet, path, work, h}
}

// Post returns the row of an endpoint that answers POST.
func (p Prefixes) Post(path string, work Work, h Handler) Route {
	return Route{p, http.MethodPost, path, work, h}
}

// Put returns the row of an endpoint that answers PUT.
func (p Prefixes) Put(path string, work Work, h Handler) Route {
	return Route{p, http.MethodPut, path, work, h}
}

// Delete returns the row of an endpoint that answers DELETE.
func (p Prefixes) Delete(path string, work Work, h Handler) Route {
	return Route{p, http.MethodDelete, path, work, h}
}

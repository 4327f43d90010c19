package client

import (
	"encoding/json"
	"sync"

	"homeserver/internal/httpapi"
)

type versionsAnswer struct {
	Versions         []string        `json:"versions"`
	UnstableFeatures map[string]bool `json:"unstable_features"`
}

// versions returns which versions of the specification the server speaks, and its
// features beside them. Anybody may ask. Section "API Versions", GET
// /_matrix/client/versions.
func (a *api) versions(*httpapi.Request) (any, error) {
	if a.OAuth.Enabled() {
		return versionsWithOAuth()
	}
	return versionsWithout()
}

// The answers of a server with and without the OAuth 2.0 API, which are always the same.
var (
	versionsWithOAuth = sync.OnceValues(func() (any, error) { return encodeVersions(true) })
	versionsWithout   = sync.OnceValues(func() (any, error) { return encodeVersions(false) })
)

// encodeVersions returns the answer. The versions are those
// whose endpoints are served, in the shapes that they have there, but for ways to log in and
// to register that are not offered; a later one joins the list together with what it has
// made mandatory. There is no gap in it, since some clients look for one of them alone. The features are the served parts of
// later versions and of proposals, by the flags that clients in use look for; a flag
// joins the list together with its endpoints: a test calls those of each.
func encodeVersions(oauth bool) (any, error) {
	answer, err := json.Marshal(versionsAnswer{
		Versions: []string{
			"r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1",
			"v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18",
		},
		UnstableFeatures: map[string]bool{
			"com.beeper.msc4169":                             true,  // m.room.redaction is sent like any other event
			"fi.mau.msc2246.stable":                          true,  // a file comes after its URI
			"fi.mau.msc2659.stable":                          true,  // application services have themselves called
			"org.matrix.e2e_cross_signing":                   true,  // keys to verify devices and people by
			"org.matrix.msc2285.stable":                      true,  // private read receipts
			"org.matrix.msc2432":                             true,  // a room's local aliases
			"org.matrix.msc3030":                             true,  // an event by its time, by the name of the proposal
			"org.matrix.msc3030.stable":                      true,  // and by that of the specification
			"org.matrix.msc3771":                             true,  // read receipts in threads
			"org.matrix.msc3773":                             true,  // unread counts by thread
			"org.matrix.msc3827.stable":                      true,  // the directory of rooms by type
			"org.matrix.msc3856":                             true,  // the threads of a room
			"org.matrix.msc3881":                             true,  // pushers can be disabled
			"org.matrix.msc3916.stable":                      true,  // media for users only
			"org.matrix.msc3952_intentional_mentions":        true,  // push rules for m.mentions
			"org.matrix.msc4108":                             oauth, // signing in by a QR code
			"org.matrix.msc4155":                             true,  // invites by users and servers
			"org.matrix.msc4380.stable":                      true,  // no invites at all
			"org.matrix.msc4143":                             true,  // the servers that calls go through
			"org.matrix.msc4140":                             true,  // events that are sent later
			"org.matrix.simplified_msc3575":                  true,  // sliding sync
			"org.matrix.msc4222":                             true,  // state_after in /sync
			"org.matrix.msc3981":                             true,  // relations of relations
			"uk.half-shot.msc2666.query_mutual_rooms":        true,  // the rooms that two users are in, by the name of the proposal
			"uk.half-shot.msc2666.query_mutual_rooms.stable": true,  // and by that of the specification
			"uk.tcpip.msc4133":                               true,  // any profile field, by its name as a proposal
			"uk.tcpip.msc4133.stable":                        true,  // and by that of the specification
		},
	})
	return json.RawMessage(answer), err
}

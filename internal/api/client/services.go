package client

import (
	"homeserver/internal/appservice"
	"homeserver/internal/auth"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/registrationtoken"
	"homeserver/internal/auth/rendezvous"
	"homeserver/internal/auth/sso"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/auth/uia"
	"homeserver/internal/e2ee/devicekeys"
	"homeserver/internal/e2ee/keybackup"
	"homeserver/internal/e2ee/todevice"
	"homeserver/internal/journal"
	"homeserver/internal/media"
	"homeserver/internal/media/preview"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/personal/presence"
	"homeserver/internal/personal/push"
	"homeserver/internal/personal/receipts"
	"homeserver/internal/personal/reports"
	"homeserver/internal/personal/search"
	"homeserver/internal/personal/thirdpartyinvite"
	"homeserver/internal/personal/turn"
	"homeserver/internal/personal/typing"
	"homeserver/internal/personal/userdirectory"
	"homeserver/internal/profile"
	"homeserver/internal/rooms"
	"homeserver/internal/rooms/delayedevents"
	"homeserver/internal/rooms/spaces"
	"homeserver/internal/syncstream"
	"time"
)

// Services are the services that the endpoints call.
type Services struct {
	Auth  *auth.Service
	OAuth *oauth.Service
	// Rendezvous has the sessions over which devices meet.
	Rendezvous *rendezvous.Service
	Stages     *uia.Service
	Profile    *profile.Service
	Journal    *journal.Journal
	Rooms      *rooms.Service
	Delayed    *delayedevents.Service
	Spaces     *spaces.Service
	Stream     *syncstream.Service
	Data       *accountdata.Service
	Receipts   *receipts.Service
	Typing     *typing.Service
	Presence   *presence.Service
	Media      *media.Service
	Previews   *preview.Service
	Threepids  *threepid.Service
	SSO        *sso.Service
	Push       *push.Service
	Keys       *devicekeys.Service
	ToDevice   *todevice.Service

	KeyBackups *keybackup.Service

	// AppServices are the bridges and bots that are registered; nil: there are none.
	AppServices *appservice.Service
	// RegistrationTokens are those by which people may register.
	RegistrationTokens *registrationtoken.Service

	Searches    *search.Service
	Directory   *userdirectory.Service
	Invitations *thirdpartyinvite.Service
	Turn        *turn.Service
	Reports     *reports.Service

	// Now is the time by which the age of what is answered counts.
	Now func() time.Time

	ServerName    string // the part of user IDs after the colon
	PublicBaseURL string // where clients reach the server; empty: /.well-known/matrix/client is 404
	// LiveKitURLs are the services through which clients reach LiveKit servers, for calls.
	LiveKitURLs []string
	// Support says whom people turn to about the server.
	Support Support
	// PolicyServerKey is the public key of the policy server with the name of this server; empty: there is none.
	PolicyServerKey string
	// MediaClosed answers downloads without a token as if there were no files.
	MediaClosed bool
}

// api has the endpoints as its methods.
type api struct{ Services }

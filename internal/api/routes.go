package api

import (
	"net/http"
	"slices"
)

// Where endpoints are served. One that a generation of the API has in another
// shape gets a row of its own for it, with an adapter over the same services.
var (
	root   = prefixes{""}
	client = prefixes{"/_matrix/client/r0", "/_matrix/client/v3"}
)

// routes is the route table: every endpoint of the server, once.
func (a *API) routes() []route {
	return slices.Concat(a.serverRoutes(), a.accountRoutes(), a.profileRoutes(),
		a.roomRoutes(), a.membershipRoutes(), a.syncRoutes())
}

// serverRoutes: "Server Discovery", "Capabilities negotiation", and what is for
// operators.
func (a *API) serverRoutes() []route {
	return []route{
		{root, http.MethodGet, "/health", public(a.health)},
		{root, http.MethodGet, "/.well-known/matrix/client", public(a.wellKnown)},
		{root, http.MethodGet, "/_matrix/client/versions", public(a.versions)},
		{client, http.MethodGet, "/capabilities", user(a.capabilities)},
		{root, http.MethodGet, "/_synapse/admin/v1/register", public(a.registrationNonce)},
		{root, http.MethodPost, "/_synapse/admin/v1/register", public(a.registerWithSharedSecret)},
	}
}

// accountRoutes: "Client Authentication", "Device Management".
func (a *API) accountRoutes() []route {
	return []route{
		{client, http.MethodGet, "/login", public(a.loginFlows)},
		{client, http.MethodPost, "/login", public(a.login)},
		{client, http.MethodPost, "/logout", user(a.logout)},
		{client, http.MethodPost, "/logout/all", user(a.logoutAll)},
		{client, http.MethodPost, "/refresh", public(a.refresh)},
		{client, http.MethodPost, "/register", public(a.register)},
		{client, http.MethodGet, "/register/available", public(a.registerAvailable)},

		{client, http.MethodGet, "/account/whoami", user(a.whoami)},
		{client, http.MethodPost, "/account/password", optional(a.changePassword)},
		{client, http.MethodPost, "/account/deactivate", optional(a.deactivate)},

		{client, http.MethodGet, "/devices", user(a.listDevices)},
		{client, http.MethodGet, "/devices/{deviceId}", user(a.getDevice)},
		{client, http.MethodPut, "/devices/{deviceId}", user(a.putDevice)},
		{client, http.MethodDelete, "/devices/{deviceId}", user(a.deleteDevice)},
		{client, http.MethodPost, "/delete_devices", user(a.deleteDevices)},
	}
}

// profileRoutes: "Profiles".
func (a *API) profileRoutes() []route {
	return []route{
		{client, http.MethodGet, "/profile/{userId}", public(a.getProfile)},
		{client, http.MethodGet, "/profile/{userId}/{keyName}", public(a.getProfileField)},
		{client, http.MethodPut, "/profile/{userId}/{keyName}", user(a.putProfileField)},
		{client, http.MethodDelete, "/profile/{userId}/{keyName}", user(a.deleteProfileField)},
	}
}

// roomRoutes: "Events", "Rooms".
func (a *API) roomRoutes() []route {
	return []route{
		{client, http.MethodPost, "/createRoom", user(a.createRoom)},

		{client, http.MethodPost, "/rooms/{roomId}/send/{eventType}", user(a.send)},
		{client, http.MethodPut, "/rooms/{roomId}/send/{eventType}/{txnId}", user(a.send)},
		{client, http.MethodPost, "/rooms/{roomId}/redact/{eventId}", user(a.redact)},
		{client, http.MethodPut, "/rooms/{roomId}/redact/{eventId}/{txnId}", user(a.redact)},

		{client, http.MethodGet, "/rooms/{roomId}/state", user(a.getRoomState)},
		{client, http.MethodGet, "/rooms/{roomId}/state/{eventType}", user(a.getState)},
		{client, http.MethodPut, "/rooms/{roomId}/state/{eventType}", user(a.setState)},
		{client, http.MethodGet, "/rooms/{roomId}/state/{eventType}/{stateKey}", user(a.getState)},
		{client, http.MethodPut, "/rooms/{roomId}/state/{eventType}/{stateKey}", user(a.setState)},
		{client, http.MethodGet, "/rooms/{roomId}/members", user(a.members)},
		{client, http.MethodGet, "/rooms/{roomId}/joined_members", user(a.joinedMembers)},

		{client, http.MethodGet, "/rooms/{roomId}/messages", user(a.messages)},
		{client, http.MethodGet, "/rooms/{roomId}/event/{eventId}", user(a.getEvent)},
		{client, http.MethodGet, "/rooms/{roomId}/context/{eventId}", user(a.eventContext)},

		{client, http.MethodGet, "/rooms/{roomId}/aliases", user(a.aliases)},
		{client, http.MethodGet, "/directory/room/{roomAlias}", public(a.getAlias)},
		{client, http.MethodPut, "/directory/room/{roomAlias}", user(a.putAlias)},
		{client, http.MethodDelete, "/directory/room/{roomAlias}", user(a.deleteAlias)},
	}
}

// membershipRoutes: "Room membership".
func (a *API) membershipRoutes() []route {
	return []route{
		{client, http.MethodGet, "/joined_rooms", user(a.joinedRooms)},
		{client, http.MethodPost, "/join/{roomIdOrAlias}", user(a.joinRoomOrAlias)},
		{client, http.MethodPost, "/knock/{roomIdOrAlias}", user(a.knock)},
		{client, http.MethodPost, "/rooms/{roomId}/join", user(a.joinRoom)},
		{client, http.MethodPost, "/rooms/{roomId}/leave", user(a.leave)},
		{client, http.MethodPost, "/rooms/{roomId}/forget", user(a.forget)},
		{client, http.MethodPost, "/rooms/{roomId}/invite", user(a.invite)},
		{client, http.MethodPost, "/rooms/{roomId}/kick", user(a.kick)},
		{client, http.MethodPost, "/rooms/{roomId}/ban", user(a.ban)},
		{client, http.MethodPost, "/rooms/{roomId}/unban", user(a.unban)},
	}
}

// syncRoutes: "Syncing", "Filtering".
func (a *API) syncRoutes() []route {
	return []route{
		{client, http.MethodGet, "/sync", user(a.sync)},
		{client, http.MethodPost, "/user/{userId}/filter", user(a.postFilter)},
		{client, http.MethodGet, "/user/{userId}/filter/{filterId}", user(a.getFilter)},
	}
}

package api

import (
	"net/http"
	"slices"

	"homeserver/internal/threepid"
	"homeserver/internal/web"
)

// Where endpoints are served. One that a generation of the API has in another
// shape gets a row of its own for it, with an adapter over the same services.
var (
	root   = prefixes{""}
	client = prefixes{"/_matrix/client/r0", "/_matrix/client/v3"}

	// The generations before those. The second was written in two ways. What they
	// had has the same shape today, but for what is in generationRoutes; the
	// younger one had only what was new in it.
	v1           = prefixes{"/_matrix/client/api/v1"}
	v2Alpha      = prefixes{"/_matrix/client/v2_alpha", "/_matrix/client/api/v2_alpha"}
	sinceV1      = slices.Concat(v1, client)
	sinceV2Alpha = slices.Concat(v2Alpha, client)
	apiR0        = prefixes{"/_matrix/client/api/r0"}
	everywhere   = slices.Concat(v1, v2Alpha, client)
	untilR0      = prefixes{"/_matrix/client/api/v1", "/_matrix/client/r0"}

	// sinceV3 is for what r0 never had.
	sinceV3 = prefixes{"/_matrix/client/v3"}

	// federation is the server-server API, of which users' services need one endpoint.
	federation = prefixes{"/_matrix/federation/v1"}

	// clientV1 is for endpoints that are younger than v3.
	clientV1 = prefixes{"/_matrix/client/v1"}

	// Files, to everybody who knows where they are, and to those only who are
	// logged in.
	openMedia   = prefixes{"/_matrix/media/v1", "/_matrix/media/r0", "/_matrix/media/v3"}
	authedMedia = prefixes{"/_matrix/client/v1/media", "/_matrix/client/unstable/org.matrix.msc3916/media"}
)

// routes is the route table: every endpoint of the server, once.
func (a *API) routes() []route {
	return slices.Concat(a.serverRoutes(), a.accountRoutes(), a.profileRoutes(),
		a.threepidRoutes(), a.discoveryRoutes(), a.roomRoutes(), a.membershipRoutes(), a.syncRoutes(), a.personalRoutes(), a.mediaRoutes(), a.pushRoutes(), a.operatorRoutes(), a.webRoutes(), a.generationRoutes())
}

// serverRoutes: "Server Discovery", "Capabilities negotiation", and what is for
// operators.
func (a *API) serverRoutes() []route {
	return []route{
		{root, http.MethodGet, "/health", public(a.health)},
		{root, http.MethodGet, "/ready", public(a.ready)},
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
		{sinceV1, http.MethodGet, "/login", public(a.loginFlows)},
		{sinceV1, http.MethodPost, "/login", public(a.login)},
		{clientV1, http.MethodPost, "/login/get_token", user(a.getLoginToken)},
		{client, http.MethodPost, "/logout", user(a.logout)},
		{client, http.MethodPost, "/logout/all", user(a.logoutAll)},
		{client, http.MethodPost, "/refresh", public(a.refresh)},
		{sinceV2Alpha, http.MethodPost, "/register", public(a.register)},
		{client, http.MethodGet, "/register/available", public(a.registerAvailable)},

		{client, http.MethodGet, "/account/whoami", guest(a.whoami)},
		{sinceV2Alpha, http.MethodPost, "/account/password", optional(a.changePassword)},
		{client, http.MethodPost, "/account/deactivate", optional(a.deactivate)},

		{client, http.MethodGet, "/devices", guest(a.listDevices)},
		{client, http.MethodGet, "/devices/{deviceId}", guest(a.getDevice)},
		{client, http.MethodPut, "/devices/{deviceId}", guest(a.putDevice)},
		{client, http.MethodDelete, "/devices/{deviceId}", user(a.deleteDevice)},
		{client, http.MethodPost, "/delete_devices", user(a.deleteDevices)},
	}
}

// threepidRoutes: "Adding Account Administrative Contact Information", and what goes
// before registrations and changes of passwords by an address.
func (a *API) threepidRoutes() []route {
	const register, password, account = threepid.ForRegistration, threepid.ForPassword, threepid.ForAccount
	return []route{
		{sinceV2Alpha, http.MethodPost, "/register/email/requestToken", public(a.requestEmailToken(register))},
		{sinceV2Alpha, http.MethodPost, "/register/msisdn/requestToken", public(a.requestPhoneToken(register))},
		{sinceV2Alpha, http.MethodPost, "/account/password/email/requestToken", public(a.requestEmailToken(password))},
		{sinceV2Alpha, http.MethodPost, "/account/password/msisdn/requestToken", public(a.requestPhoneToken(password))},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/email/requestToken", public(a.requestEmailToken(account))},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/msisdn/requestToken", public(a.requestPhoneToken(account))},

		{sinceV2Alpha, http.MethodGet, "/account/3pid", user(a.getThreepids)},
		{sinceV2Alpha, http.MethodPost, "/account/3pid", user(a.postThreepid)},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/add", user(a.addThreepid)},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/bind", user(a.bindThreepid)},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/delete", user(a.deleteThreepid)},
		{sinceV2Alpha, http.MethodPost, "/account/3pid/unbind", user(a.unbindThreepid)},

		{root, http.MethodGet, threepid.ConfirmPath, public(a.threepidPage)},
		{root, http.MethodPost, threepid.ConfirmPath, public(a.confirmThreepid)},
		{root, http.MethodPost, threepid.SubmitPath, public(a.submitToken)},
	}
}

// profileRoutes: "Profiles".
func (a *API) profileRoutes() []route {
	return []route{
		{sinceV1, http.MethodGet, "/profile/{userId}", public(a.getProfile)},
		{sinceV1, http.MethodGet, "/profile/{userId}/{keyName}", public(a.getProfileField)},
		{sinceV1, http.MethodPut, "/profile/{userId}/{keyName}", guest(a.putProfileField)},
		{sinceV1, http.MethodDelete, "/profile/{userId}/{keyName}", guest(a.deleteProfileField)},
	}
}

// roomRoutes: "Events", "Rooms".
func (a *API) roomRoutes() []route {
	return []route{
		{sinceV1, http.MethodPost, "/createRoom", user(a.createRoom)},

		{sinceV1, http.MethodPost, "/rooms/{roomId}/send/{eventType}", user(a.send)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/send/{eventType}/{txnId}", guest(a.send)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/redact/{eventId}", user(a.redact)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/redact/{eventId}/{txnId}", user(a.redact)},

		{sinceV1, http.MethodGet, "/rooms/{roomId}/state", guest(a.getRoomState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/state/{eventType}", guest(a.getState)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/state/{eventType}", guest(a.setState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/state/{eventType}/{stateKey}", guest(a.getState)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/state/{eventType}/{stateKey}", guest(a.setState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/members", guest(a.members)},
		{client, http.MethodGet, "/rooms/{roomId}/joined_members", user(a.joinedMembers)},

		{sinceV1, http.MethodGet, "/rooms/{roomId}/messages", guest(a.messages)},
		{client, http.MethodGet, "/rooms/{roomId}/event/{eventId}", guest(a.getEvent)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/context/{eventId}", guest(a.eventContext)},

		{client, http.MethodGet, "/rooms/{roomId}/aliases", user(a.aliases)},
		{sinceV1, http.MethodGet, "/directory/room/{roomAlias}", public(a.getAlias)},
		{sinceV1, http.MethodPut, "/directory/room/{roomAlias}", user(a.putAlias)},
		{sinceV1, http.MethodDelete, "/directory/room/{roomAlias}", user(a.deleteAlias)},
	}
}

// discoveryRoutes: "Published room directory", "User Directory", "Server Side
// Search", "Voice over IP".
func (a *API) discoveryRoutes() []route {
	return []route{
		{client, http.MethodGet, "/publicRooms", public(a.getPublicRooms)},
		{client, http.MethodPost, "/publicRooms", guest(a.postPublicRooms)},
		{client, http.MethodGet, "/directory/list/room/{roomId}", public(a.getVisibility)},
		{client, http.MethodPut, "/directory/list/room/{roomId}", user(a.putVisibility)},
		{client, http.MethodPost, "/user_directory/search", user(a.searchUsers)},
		{sinceV1, http.MethodPost, "/search", user(a.search)},
		{sinceV1, http.MethodGet, "/voip/turnServer", guest(a.turnServer)},
	}
}

// membershipRoutes: "Room membership".
func (a *API) membershipRoutes() []route {
	return []route{
		{client, http.MethodGet, "/joined_rooms", user(a.joinedRooms)},
		{sinceV1, http.MethodPost, "/join/{roomIdOrAlias}", guest(a.joinRoomOrAlias)},
		{client, http.MethodPost, "/knock/{roomIdOrAlias}", user(a.knock)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/join", guest(a.joinRoom)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/leave", guest(a.leave)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/forget", user(a.forget)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/invite", user(a.invite)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/kick", user(a.kick)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/ban", user(a.ban)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/unban", user(a.unban)},
	}
}

// syncRoutes: "Syncing", "Filtering".
func (a *API) syncRoutes() []route {
	return []route{
		{client, http.MethodGet, "/sync", guest(a.sync)},
		{sinceV2Alpha, http.MethodPost, "/user/{userId}/filter", user(a.postFilter)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/filter/{filterId}", user(a.getFilter)},
	}
}

// personalRoutes: "Client Config", "Room Tagging", "Receipts", "Read and unread
// markers", "Typing Notifications", "Presence".
func (a *API) personalRoutes() []route {
	return []route{
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/account_data/{type}", user(a.getAccountData)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/account_data/{type}", user(a.putAccountData)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/rooms/{roomId}/account_data/{type}", user(a.getAccountData)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/rooms/{roomId}/account_data/{type}", user(a.putAccountData)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/rooms/{roomId}/tags", user(a.getTags)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/rooms/{roomId}/tags/{tag}", user(a.putTag)},
		{sinceV2Alpha, http.MethodDelete, "/user/{userId}/rooms/{roomId}/tags/{tag}", user(a.deleteTag)},

		{sinceV2Alpha, http.MethodPost, "/rooms/{roomId}/receipt/{receiptType}/{eventId}", user(a.postReceipt)},
		{client, http.MethodPost, "/rooms/{roomId}/read_markers", user(a.postReadMarkers)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/typing/{userId}", user(a.putTyping)},
		{sinceV1, http.MethodGet, "/presence/{userId}/status", user(a.getPresence)},
		{sinceV1, http.MethodPut, "/presence/{userId}/status", user(a.putPresence)},
		{untilR0, http.MethodGet, "/presence/list/{userId}", user(a.getPresenceList)},
		{untilR0, http.MethodPost, "/presence/list/{userId}", user(a.postPresenceList)},
	}
}

// mediaRoutes: "Content repository".
func (a *API) mediaRoutes() []route {
	both := slices.Concat(openMedia, authedMedia)
	return []route{
		{openMedia, http.MethodPost, "/upload", streaming(user(a.upload))},
		{openMedia, http.MethodPost, "/create", user(a.createMedia)},
		{openMedia, http.MethodPut, "/upload/{serverName}/{mediaId}", streaming(user(a.uploadTo))},
		{both, http.MethodGet, "/config", user(a.mediaConfig)},
		{both, http.MethodGet, "/preview_url", user(a.previewURL)},

		{openMedia, http.MethodGet, "/download/{serverName}/{mediaId}", public(a.download)},
		{openMedia, http.MethodGet, "/download/{serverName}/{mediaId}/{fileName}", public(a.download)},
		{openMedia, http.MethodGet, "/thumbnail/{serverName}/{mediaId}", public(a.thumbnail)},
		{authedMedia, http.MethodGet, "/download/{serverName}/{mediaId}", guest(a.authedDownload)},
		{authedMedia, http.MethodGet, "/download/{serverName}/{mediaId}/{fileName}", guest(a.authedDownload)},
		{authedMedia, http.MethodGet, "/thumbnail/{serverName}/{mediaId}", guest(a.authedThumbnail)},
	}
}

// pushRoutes: "Push Notifications".
func (a *API) pushRoutes() []route {
	const rule = "/pushrules/global/{kind}/{ruleId}"
	return []route{
		{sinceV1, http.MethodGet, "/pushrules", user(a.getPushRules)},
		{sinceV1, http.MethodGet, "/pushrules/global", user(a.getGlobalPushRules)},
		{sinceV1, http.MethodGet, rule, user(a.getPushRule)},
		{sinceV1, http.MethodPut, rule, user(a.putPushRule)},
		{sinceV1, http.MethodDelete, rule, user(a.deletePushRule)},
		{sinceV1, http.MethodGet, rule + "/enabled", user(a.getPushRuleEnabled)},
		{sinceV1, http.MethodPut, rule + "/enabled", user(a.putPushRuleEnabled)},
		{sinceV1, http.MethodGet, rule + "/actions", user(a.getPushRuleActions)},
		{sinceV1, http.MethodPut, rule + "/actions", user(a.putPushRuleActions)},

		{sinceV1, http.MethodGet, "/pushers", user(a.getPushers)},
		{sinceV1, http.MethodPost, "/pushers/set", user(a.setPusher)},
		{client, http.MethodGet, "/notifications", user(a.notifications)},
	}
}

// operatorRoutes: "OpenID", "Reporting Content", "Server Administration", and the
// directories of application services.
func (a *API) operatorRoutes() []route {
	return []route{
		{client, http.MethodPost, "/user/{userId}/openid/request_token", user(a.requestOpenIDToken)},
		{federation, http.MethodGet, "/openid/userinfo", public(a.openIDUserInfo)},

		{client, http.MethodPost, "/rooms/{roomId}/report/{eventId}", user(a.reportEvent)},
		{sinceV3, http.MethodPost, "/rooms/{roomId}/report", user(a.reportRoom)},
		{sinceV3, http.MethodPost, "/users/{userId}/report", user(a.reportUser)},

		{client, http.MethodGet, "/admin/whois/{userId}", user(a.whois)},
		{client, http.MethodPut, "/directory/list/appservice/{networkId}/{roomId}", user(a.putNetworkVisibility)},
	}
}

// webRoutes: the pages for people.
func (a *API) webRoutes() []route {
	const stage = "/auth/{authType}/fallback/web"
	return []route{
		{root, http.MethodGet, "/", public(a.tutorial)},
		{root, http.MethodGet, web.FilesPath + "{fileName}", public(a.webFile)},
		{root, http.MethodGet, "/_matrix/static/client/login", public(a.loginFallback)},
		{root, http.MethodPost, "/_matrix/static/client/login", public(a.submitLogin)},
		{sinceV1, http.MethodGet, "/login/fallback", public(a.loginFallback)},
		{sinceV2Alpha, http.MethodGet, stage, public(a.authFallback)},
		{sinceV2Alpha, http.MethodPost, stage, public(a.submitAuthFallback)},
	}
}

// generationRoutes: what earlier generations of the API had in another shape, or
// alone.
func (a *API) generationRoutes() []route {
	return []route{
		{v1, http.MethodGet, "/register", public(a.registrationFlows)},
		{v1, http.MethodPost, "/register", public(a.registerV1)},
		{v1, http.MethodGet, "/publicRooms", public(a.publicRoomsV1)},
		{v1, http.MethodGet, "/turnServer", guest(a.turnServer)},
		{everywhere, http.MethodPost, "/tokenrefresh", public(a.tokenRefresh)},
		{v2Alpha, http.MethodGet, "/sync", guest(a.syncV2Alpha)},
		{v2Alpha, http.MethodGet, "/stream", public(a.noStream)},

		// As one version of the specification misprinted them.
		{apiR0, http.MethodGet, "/rooms/{roomId}/context/{eventId}", guest(a.eventContext)},
		{apiR0, http.MethodPut, "/rooms/{roomId}/redact/{eventId}/{txnId}", user(a.redact)},

		{sinceV1, http.MethodGet, "/initialSync", user(a.initialSync)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/initialSync", guest(a.roomInitialSync)},
		{sinceV1, http.MethodGet, "/events", guest(a.events)},
		{sinceV1, http.MethodGet, "/events/{eventId}", user(a.oneEvent)},
	}
}

package api

import (
	"net/http"
	"slices"
	"strings"

	"homeserver/internal/api/pages"
	"homeserver/internal/auth/threepid"
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

	// federation is the server-server API, of which services that users have chosen need two endpoints.
	federation = prefixes{"/_matrix/federation/v1"}

	// clientV1 is for endpoints that are younger than v3.
	clientV1 = prefixes{"/_matrix/client/v1"}

	// Files, to everybody who knows where they are, and to those only who are
	// logged in.
	openMedia   = prefixes{"/_matrix/media/v1", "/_matrix/media/r0", "/_matrix/media/v3"}
	authedMedia = prefixes{"/_matrix/client/v1/media", "/_matrix/client/unstable/org.matrix.msc3916/media"}

	// Files that come after their URI, also by the name that this had as a proposal.
	lateMedia = slices.Concat(openMedia, prefixes{"/_matrix/media/unstable/fi.mau.msc2246"})
)

// orUnstable adds the place where an endpoint was as a proposal: "" for
// /_matrix/client/unstable itself, else a folder of it. Some clients in use ask there
// first, and some for as long as /versions does not list the version of the
// specification that has the endpoint.
func (p prefixes) orUnstable(proposal string) prefixes {
	return slices.Concat(p, prefixes{strings.TrimSuffix("/_matrix/client/unstable/"+proposal, "/")})
}

// routes is the route table: every endpoint of the server, once.
func (a *API) routes() []route {
	return slices.Concat(a.serverRoutes(), a.accountRoutes(), a.profileRoutes(),
		a.threepidRoutes(), a.discoveryRoutes(), a.roomRoutes(), a.membershipRoutes(), a.syncRoutes(), a.personalRoutes(), a.mediaRoutes(), a.pushRoutes(), a.operatorRoutes(), a.webRoutes(), a.generationRoutes())
}

// serverRoutes: "Server Discovery", "Capabilities negotiation", and what is for
// operators.
func (a *API) serverRoutes() []route {
	return []route{
		{root, http.MethodGet, "/health", probing, public(a.health)},
		{root, http.MethodGet, "/ready", probing, public(a.ready)},
		{root, http.MethodGet, "/.well-known/matrix/client", reading, public(a.wellKnown)},
		{root, http.MethodGet, "/_matrix/client/versions", reading, public(a.versions)},
		{client, http.MethodGet, "/capabilities", reading, user(a.capabilities)},
		{root, http.MethodGet, "/_synapse/admin/v1/register", reading, public(a.registrationNonce)},
		{root, http.MethodPost, "/_synapse/admin/v1/register", changing, public(a.registerWithSharedSecret)},
	}
}

// accountRoutes: "Client Authentication", "Device Management".
func (a *API) accountRoutes() []route {
	return []route{
		{sinceV1, http.MethodGet, "/login", reading, public(a.loginFlows)},
		{sinceV1, http.MethodPost, "/login", loggingIn, public(a.login)},
		{clientV1.orUnstable("org.matrix.msc3882"), http.MethodPost, "/login/get_token", makingLoginTokens, user(a.getLoginToken)},
		{client, http.MethodPost, "/logout", removing, user(a.logout)},
		{client, http.MethodPost, "/logout/all", removing, user(a.logoutAll)},
		{client.orUnstable("org.matrix.msc2918"), http.MethodPost, "/refresh", renewing, public(a.refresh)},
		{sinceV2Alpha, http.MethodPost, "/register", registering, public(a.register)},
		{client, http.MethodGet, "/register/available", checkingNames, public(a.registerAvailable)},

		{client, http.MethodGet, "/account/whoami", reading, guest(a.whoami)},
		{sinceV2Alpha, http.MethodPost, "/account/password", loggingIn, optional(a.changePassword)},
		{client, http.MethodPost, "/account/deactivate", loggingIn, optional(a.deactivate)},

		{client, http.MethodGet, "/devices", reading, guest(a.listDevices)},
		{client, http.MethodGet, "/devices/{deviceId}", reading, guest(a.getDevice)},
		{client, http.MethodPut, "/devices/{deviceId}", storing, guest(a.putDevice)},
		{client, http.MethodDelete, "/devices/{deviceId}", loggingIn, user(a.deleteDevice)},
		{client, http.MethodPost, "/delete_devices", loggingIn, user(a.deleteDevices)},
	}
}

// threepidRoutes: "Adding Account Administrative Contact Information", and what goes
// before registrations and changes of passwords by an address.
func (a *API) threepidRoutes() []route {
	const register, password, account = threepid.ForRegistration, threepid.ForPassword, threepid.ForAccount
	contacts := sinceV2Alpha.orUnstable("")
	return []route{
		{sinceV2Alpha, http.MethodPost, "/register/email/requestToken", askingForMail, public(a.requestEmailToken(register))},
		{sinceV2Alpha, http.MethodPost, "/register/msisdn/requestToken", askingForMail, public(a.requestPhoneToken(register))},
		{sinceV2Alpha, http.MethodPost, "/account/password/email/requestToken", askingForMail, public(a.requestEmailToken(password))},
		{sinceV2Alpha, http.MethodPost, "/account/password/msisdn/requestToken", askingForMail, public(a.requestPhoneToken(password))},
		{contacts, http.MethodPost, "/account/3pid/email/requestToken", askingForMail, public(a.requestEmailToken(account))},
		{contacts, http.MethodPost, "/account/3pid/msisdn/requestToken", askingForMail, public(a.requestPhoneToken(account))},

		{contacts, http.MethodGet, "/account/3pid", reading, user(a.getThreepids)},
		{contacts, http.MethodPost, "/account/3pid", loggingIn, user(a.postThreepid)},
		{contacts, http.MethodPost, "/account/3pid/add", loggingIn, user(a.addThreepid)},
		{contacts, http.MethodPost, "/account/3pid/bind", changing, user(a.bindThreepid)},
		{contacts, http.MethodPost, "/account/3pid/delete", removing, user(a.deleteThreepid)},
		{contacts, http.MethodPost, "/account/3pid/unbind", removing, user(a.unbindThreepid)},

		{root, http.MethodGet, threepid.ConfirmPath, reading, public(a.threepidPage)},
		{root, http.MethodPost, threepid.ConfirmPath, enteringCodes, public(a.confirmThreepid)},
		{root, http.MethodPost, threepid.SubmitPath, enteringCodes, public(a.submitToken)},
	}
}

// profileRoutes: "Profiles".
func (a *API) profileRoutes() []route {
	fields := sinceV1.orUnstable("uk.tcpip.msc4133")
	return []route{
		{fields, http.MethodGet, "/profile/{userId}", reading, public(a.getProfile)},
		{fields, http.MethodGet, "/profile/{userId}/{keyName}", reading, public(a.getProfileField)},
		{fields, http.MethodPut, "/profile/{userId}/{keyName}", changingProfile, guest(a.putProfileField)},
		{fields, http.MethodDelete, "/profile/{userId}/{keyName}", removingProfile, guest(a.deleteProfileField)},
	}
}

// roomRoutes: "Events", "Rooms".
func (a *API) roomRoutes() []route {
	return []route{
		{sinceV1, http.MethodPost, "/createRoom", creatingRooms, user(a.createRoom)},

		{sinceV1, http.MethodPost, "/rooms/{roomId}/send/{eventType}", sending, user(a.send)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/send/{eventType}/{txnId}", sending, guest(a.send)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/redact/{eventId}", redacting, user(a.redact)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/redact/{eventId}/{txnId}", redacting, user(a.redact)},

		{sinceV1, http.MethodGet, "/rooms/{roomId}/state", reading, guest(a.getRoomState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/state/{eventType}", reading, guest(a.getState)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/state/{eventType}", sending, guest(a.setState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/state/{eventType}/{stateKey}", reading, guest(a.getState)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/state/{eventType}/{stateKey}", sending, guest(a.setState)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/members", reading, guest(a.members)},
		{client, http.MethodGet, "/rooms/{roomId}/joined_members", reading, user(a.joinedMembers)},

		{sinceV1, http.MethodGet, "/rooms/{roomId}/messages", reading, guest(a.messages)},
		{client, http.MethodGet, "/rooms/{roomId}/event/{eventId}", reading, guest(a.getEvent)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/context/{eventId}", reading, guest(a.eventContext)},

		{client.orUnstable("org.matrix.msc2432"), http.MethodGet, "/rooms/{roomId}/aliases", reading, user(a.aliases)},
		{sinceV1, http.MethodGet, "/directory/room/{roomAlias}", reading, public(a.getAlias)},
		{sinceV1, http.MethodPut, "/directory/room/{roomAlias}", changing, user(a.putAlias)},
		{sinceV1, http.MethodDelete, "/directory/room/{roomAlias}", removing, user(a.deleteAlias)},
	}
}

// discoveryRoutes: "Published room directory", "User Directory", "Server Side
// Search", "Voice over IP".
func (a *API) discoveryRoutes() []route {
	return []route{
		{client, http.MethodGet, "/publicRooms", searching, public(a.getPublicRooms)},
		{client, http.MethodPost, "/publicRooms", searching, guest(a.postPublicRooms)},
		{client, http.MethodGet, "/directory/list/room/{roomId}", reading, public(a.getVisibility)},
		{client, http.MethodPut, "/directory/list/room/{roomId}", changing, user(a.putVisibility)},
		{client, http.MethodPost, "/user_directory/search", searching, user(a.searchUsers)},
		{sinceV1, http.MethodPost, "/search", searching, user(a.search)},
		{sinceV1, http.MethodGet, "/voip/turnServer", reading, guest(a.turnServer)},
	}
}

// membershipRoutes: "Room membership".
func (a *API) membershipRoutes() []route {
	return []route{
		{client, http.MethodGet, "/joined_rooms", reading, user(a.joinedRooms)},
		{sinceV1, http.MethodPost, "/join/{roomIdOrAlias}", joining, guest(a.joinRoomOrAlias)},
		{client.orUnstable("xyz.amorgan.knock"), http.MethodPost, "/knock/{roomIdOrAlias}", joining, user(a.knock)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/join", joining, guest(a.joinRoom)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/leave", sending, guest(a.leave)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/forget", removing, user(a.forget)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/invite", inviting, user(a.invite)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/kick", sending, user(a.kick)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/ban", sending, user(a.ban)},
		{sinceV1, http.MethodPost, "/rooms/{roomId}/unban", sending, user(a.unban)},
	}
}

// syncRoutes: "Syncing", "Filtering".
func (a *API) syncRoutes() []route {
	return []route{
		{client, http.MethodGet, "/sync", polling, guest(a.sync)},
		{sinceV2Alpha, http.MethodPost, "/user/{userId}/filter", filtering, user(a.postFilter)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/filter/{filterId}", reading, user(a.getFilter)},
	}
}

// personalRoutes: "Client Config", "Room Tagging", "Receipts", "Read and unread
// markers", "Typing Notifications", "Presence".
func (a *API) personalRoutes() []route {
	return []route{
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/account_data/{type}", reading, user(a.getAccountData)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/account_data/{type}", changing, user(a.putAccountData)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/rooms/{roomId}/account_data/{type}", reading, user(a.getAccountData)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/rooms/{roomId}/account_data/{type}", changing, user(a.putAccountData)},
		{sinceV2Alpha, http.MethodGet, "/user/{userId}/rooms/{roomId}/tags", reading, user(a.getTags)},
		{sinceV2Alpha, http.MethodPut, "/user/{userId}/rooms/{roomId}/tags/{tag}", changing, user(a.putTag)},
		{sinceV2Alpha, http.MethodDelete, "/user/{userId}/rooms/{roomId}/tags/{tag}", removing, user(a.deleteTag)},

		{sinceV2Alpha, http.MethodPost, "/rooms/{roomId}/receipt/{receiptType}/{eventId}", changing, user(a.postReceipt)},
		{client, http.MethodPost, "/rooms/{roomId}/read_markers", changing, user(a.postReadMarkers)},
		{sinceV1, http.MethodPut, "/rooms/{roomId}/typing/{userId}", telling, user(a.putTyping)},
		{sinceV1, http.MethodGet, "/presence/{userId}/status", reading, user(a.getPresence)},
		{sinceV1, http.MethodPut, "/presence/{userId}/status", telling, user(a.putPresence)},
		{untilR0, http.MethodGet, "/presence/list/{userId}", reading, user(a.getPresenceList)},
		{untilR0, http.MethodPost, "/presence/list/{userId}", storing, user(a.postPresenceList)},
	}
}

// mediaRoutes: "Content repository".
func (a *API) mediaRoutes() []route {
	both := slices.Concat(openMedia, authedMedia)
	return []route{
		{openMedia, http.MethodPost, "/upload", uploading, streaming(user(a.upload))},
		{lateMedia, http.MethodPost, "/create", uploading, user(a.createMedia)},
		{lateMedia, http.MethodPut, "/upload/{serverName}/{mediaId}", uploading, streaming(user(a.uploadTo))},
		{both, http.MethodGet, "/config", reading, user(a.mediaConfig)},
		{both, http.MethodGet, "/preview_url", previewing, user(a.previewURL)},

		{openMedia, http.MethodGet, "/download/{serverName}/{mediaId}", downloading, public(a.unlessClosed(a.download))},
		{openMedia, http.MethodGet, "/download/{serverName}/{mediaId}/{fileName}", downloading, public(a.unlessClosed(a.download))},
		{openMedia, http.MethodGet, "/thumbnail/{serverName}/{mediaId}", downloading, public(a.unlessClosed(a.thumbnail))},
		{authedMedia, http.MethodGet, "/download/{serverName}/{mediaId}", downloading, guest(a.authedDownload)},
		{authedMedia, http.MethodGet, "/download/{serverName}/{mediaId}/{fileName}", downloading, guest(a.authedDownload)},
		{authedMedia, http.MethodGet, "/thumbnail/{serverName}/{mediaId}", downloading, guest(a.authedThumbnail)},
	}
}

// pushRoutes: "Push Notifications".
func (a *API) pushRoutes() []route {
	const rule = "/pushrules/global/{kind}/{ruleId}"
	return []route{
		{sinceV1, http.MethodGet, "/pushrules", reading, user(a.getPushRules)},
		{sinceV1, http.MethodGet, "/pushrules/global", reading, user(a.getGlobalPushRules)},
		{sinceV1, http.MethodGet, "/pushrules/global/{kind}", reading, user(a.getPushRulesOfKind)},
		{sinceV1, http.MethodGet, rule, reading, user(a.getPushRule)},
		{sinceV1, http.MethodPut, rule, changing, user(a.putPushRule)},
		{sinceV1, http.MethodDelete, rule, removing, user(a.deletePushRule)},
		{sinceV1, http.MethodGet, rule + "/enabled", reading, user(a.getPushRuleEnabled)},
		{sinceV1, http.MethodPut, rule + "/enabled", changing, user(a.putPushRuleEnabled)},
		{sinceV1, http.MethodGet, rule + "/actions", reading, user(a.getPushRuleActions)},
		{sinceV1, http.MethodPut, rule + "/actions", changing, user(a.putPushRuleActions)},

		{sinceV1, http.MethodGet, "/pushers", reading, user(a.getPushers)},
		{sinceV1, http.MethodPost, "/pushers/set", storing, user(a.setPusher)},
		{client, http.MethodGet, "/notifications", reading, user(a.notifications)},
	}
}

// operatorRoutes: "OpenID", "Third-party invites", "Reporting Content", "Server Administration", and the
// directories of application services.
func (a *API) operatorRoutes() []route {
	return []route{
		{client, http.MethodPost, "/user/{userId}/openid/request_token", changing, user(a.requestOpenIDToken)},
		{federation, http.MethodGet, "/openid/userinfo", reading, public(a.openIDUserInfo)},
		// The specifications name both methods.
		{federation, http.MethodPut, "/3pid/onbind", takingBindings, public(a.onBind)},
		{federation, http.MethodPost, "/3pid/onbind", takingBindings, public(a.onBind)},

		{client, http.MethodPost, "/rooms/{roomId}/report/{eventId}", reporting, user(a.reportEvent)},
		{sinceV3.orUnstable("org.matrix.msc4151"), http.MethodPost, "/rooms/{roomId}/report", reporting, user(a.reportRoom)},
		{sinceV3.orUnstable("org.matrix.msc4260"), http.MethodPost, "/users/{userId}/report", reporting, user(a.reportUser)},

		{client, http.MethodGet, "/admin/whois/{userId}", reading, user(a.whois)},
		{client, http.MethodPut, "/directory/list/appservice/{networkId}/{roomId}", changing, user(a.putNetworkVisibility)},
	}
}

// webRoutes: the pages for people.
func (a *API) webRoutes() []route {
	const stage = "/auth/{authType}/fallback/web"
	return []route{
		{root, http.MethodGet, "/", reading, public(a.tutorial)},
		{root, http.MethodGet, pages.FilesPath + "{fileName}", reading, public(a.webFile)},
		{root, http.MethodGet, "/_matrix/static/client/login", reading, public(a.loginFallback)},
		{root, http.MethodPost, "/_matrix/static/client/login", loggingIn, public(a.submitLogin)},
		{sinceV1, http.MethodGet, "/login/fallback", reading, public(a.loginFallback)},
		{sinceV2Alpha, http.MethodGet, stage, reading, public(a.authFallback)},
		{sinceV2Alpha, http.MethodPost, stage, loggingIn, public(a.submitAuthFallback)},
	}
}

// generationRoutes: what earlier generations of the API had in another shape, or
// alone.
func (a *API) generationRoutes() []route {
	return []route{
		{v1, http.MethodGet, "/register", reading, public(a.registrationFlows)},
		{v1, http.MethodPost, "/register", registering, public(a.registerV1)},
		{v1, http.MethodGet, "/publicRooms", searching, public(a.publicRoomsV1)},
		{v1, http.MethodGet, "/turnServer", reading, guest(a.turnServer)},
		{everywhere, http.MethodPost, "/tokenrefresh", reading, public(a.tokenRefresh)},
		{v2Alpha, http.MethodGet, "/sync", polling, guest(a.syncV2Alpha)},
		{v2Alpha, http.MethodGet, "/stream", reading, public(a.noStream)},

		// As one version of the specification misprinted them.
		{apiR0, http.MethodGet, "/rooms/{roomId}/context/{eventId}", reading, guest(a.eventContext)},
		{apiR0, http.MethodPut, "/rooms/{roomId}/redact/{eventId}/{txnId}", redacting, user(a.redact)},

		{sinceV1, http.MethodGet, "/initialSync", reading, user(a.initialSync)},
		{sinceV1, http.MethodGet, "/rooms/{roomId}/initialSync", reading, guest(a.roomInitialSync)},
		{sinceV1, http.MethodGet, "/events", polling, guest(a.events)},
		{sinceV1, http.MethodGet, "/events/{eventId}", reading, user(a.oneEvent)},
	}
}

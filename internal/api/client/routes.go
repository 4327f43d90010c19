package client

import (
	"slices"

	"homeserver/internal/appservice"
	"homeserver/internal/auth/oauth"
	"homeserver/internal/auth/threepid"
	"homeserver/internal/httpapi"
)

// Routes returns the table of the endpoints of this package.
func Routes(services Services) []httpapi.Route {
	a := &api{services}
	return slices.Concat(a.serverRoutes(), a.accountRoutes(), a.profileRoutes(), a.threepidRoutes(), a.discoveryRoutes(), a.roomRoutes(),
		a.membershipRoutes(), a.syncRoutes(), a.keyRoutes(), a.toDeviceRoutes(), a.personalRoutes(), a.mediaRoutes(), a.pushRoutes(),
		a.keyBackupRoutes(), a.delayedEventRoutes(), a.dehydratedDeviceRoutes(), a.appServiceRoutes(), a.reportRoutes(), a.oauthRoutes())
}

// serverRoutes: "Server Discovery", "Capabilities negotiation".
func (a *api) serverRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.Root.Get("/.well-known/matrix/client", httpapi.Reading, httpapi.Public(a.wellKnown)),
		httpapi.Root.Get("/.well-known/matrix/support", httpapi.Reading, httpapi.Public(a.support)),
		httpapi.Root.Get("/.well-known/matrix/policy_server", httpapi.Reading, httpapi.Public(a.policyServer)),
		httpapi.Root.Get("/_matrix/client/versions", httpapi.Reading, httpapi.Public(a.versions)),
		httpapi.Client.Get("/capabilities", httpapi.Reading, httpapi.User(a.capabilities)),
	}
}

// accountRoutes: "Client Authentication", "Device Management".
func (a *api) accountRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.SinceV1.Get("/login", httpapi.Reading, httpapi.Public(a.loginFlows)),
		httpapi.SinceV1.Post("/login", httpapi.LoggingIn, httpapi.Public(a.login)),
		httpapi.ClientV1.OrUnstable("org.matrix.msc3882").Post("/login/get_token", httpapi.MakingLoginTokens, httpapi.User(a.getLoginToken)),
		httpapi.Client.Post("/logout", httpapi.Removing, httpapi.WhileLocked(httpapi.User(a.logout))),
		httpapi.Client.Post("/logout/all", httpapi.Removing, httpapi.WhileLocked(httpapi.User(a.logoutAll))),
		httpapi.Client.OrUnstable("org.matrix.msc2918").Post("/refresh", httpapi.Renewing, httpapi.Public(a.refresh)),
		httpapi.SinceV2Alpha.Post("/register", httpapi.Registering, httpapi.Public(a.register)),
		httpapi.Client.Get("/register/available", httpapi.CheckingNames, httpapi.Public(a.registerAvailable)),
		httpapi.ClientV1.OrUnstable("org.matrix.msc3231").Get("/register/m.login.registration_token/validity", httpapi.EnteringCodes, httpapi.Public(a.registrationTokenValidity)),

		httpapi.Client.Get("/account/whoami", httpapi.Reading, httpapi.Guest(a.whoami)),
		httpapi.SinceV2Alpha.Post("/account/password", httpapi.LoggingIn, httpapi.Optional(a.changePassword)),
		httpapi.Client.Post("/account/deactivate", httpapi.LoggingIn, httpapi.Optional(a.deactivate)),

		httpapi.Client.Get("/devices", httpapi.Reading, httpapi.Guest(a.listDevices)),
		httpapi.Client.Get("/devices/{deviceId}", httpapi.Reading, httpapi.Guest(a.getDevice)),
		httpapi.Client.Put("/devices/{deviceId}", httpapi.Storing, httpapi.Guest(a.putDevice)),
		httpapi.Client.Delete("/devices/{deviceId}", httpapi.LoggingIn, httpapi.User(a.deleteDevice)),
		httpapi.Client.Post("/delete_devices", httpapi.LoggingIn, httpapi.User(a.deleteDevices)),
	}
}

// oauthRoutes: "OAuth 2.0 API". The pages for people are in the package pages.
func (a *api) oauthRoutes() []httpapi.Route {
	meeting := httpapi.Prefixes{}.OrUnstable("org.matrix.msc4108")
	return []httpapi.Route{
		httpapi.ClientV1.OrUnstable("org.matrix.msc2965").Get("/auth_metadata", httpapi.Reading, a.oauth(a.authMetadata)),
		httpapi.Root.Get("/.well-known/openid-configuration", httpapi.Reading, a.oauth(a.authMetadata)),
		httpapi.Root.Get("/.well-known/oauth-authorization-server", httpapi.Reading, a.oauth(a.authMetadata)),
		meeting.Post("/rendezvous", httpapi.LoggingIn, a.oauth(a.beginRendezvous)),
		meeting.Get("/rendezvous/{rendezvousId}", httpapi.Reading, a.oauth(a.getRendezvous)),
		meeting.Put("/rendezvous/{rendezvousId}", httpapi.Telling, a.oauth(a.putRendezvous)),
		meeting.Delete("/rendezvous/{rendezvousId}", httpapi.Removing, a.oauth(a.deleteRendezvous)),
		httpapi.Root.Post(oauth.Path+"/clients", httpapi.LoggingIn, a.oauth(a.registerOAuthClient)),
		httpapi.Root.Post(oauth.Path+"/token", httpapi.Exchanging, a.oauth(a.oauthToken)),
		httpapi.Root.Post(oauth.Path+"/device_authorization", httpapi.LoggingIn, a.oauth(a.authorizeDevice)),
		httpapi.Root.Post(oauth.Path+"/revoke", httpapi.Removing, a.oauth(a.oauthRevoke)),
	}
}

// oauth returns the handler of an endpoint that is there while the OAuth 2.0 API is on.
func (a *api) oauth(h func(*httpapi.Request) (any, error)) httpapi.Handler {
	return httpapi.Public(func(r *httpapi.Request) (any, error) {
		if !a.OAuth.Enabled() {
			return nil, httpapi.ErrUnknownPath
		}
		return h(r)
	})
}

// threepidRoutes: "Adding Account Administrative Contact Information", and the requests
// before registrations and changes of passwords by an address.
func (a *api) threepidRoutes() []httpapi.Route {
	const register, password, account = threepid.ForRegistration, threepid.ForPassword, threepid.ForAccount
	contacts := httpapi.SinceV2Alpha.OrUnstable("")
	return []httpapi.Route{
		httpapi.SinceV2Alpha.Post("/register/email/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestEmailToken(register))),
		httpapi.SinceV2Alpha.Post("/register/msisdn/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestPhoneToken(register))),
		httpapi.SinceV2Alpha.Post("/account/password/email/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestEmailToken(password))),
		httpapi.SinceV2Alpha.Post("/account/password/msisdn/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestPhoneToken(password))),
		contacts.Post("/account/3pid/email/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestEmailToken(account))),
		contacts.Post("/account/3pid/msisdn/requestToken", httpapi.AskingForMail, httpapi.Public(a.requestPhoneToken(account))),

		contacts.Get("/account/3pid", httpapi.Reading, httpapi.User(a.getThreepids)),
		contacts.Post("/account/3pid", httpapi.LoggingIn, httpapi.User(a.postThreepid)),
		contacts.Post("/account/3pid/add", httpapi.LoggingIn, httpapi.User(a.addThreepid)),
		contacts.Post("/account/3pid/bind", httpapi.Changing, httpapi.Active(httpapi.User(a.bindThreepid))),
		contacts.Post("/account/3pid/delete", httpapi.Removing, httpapi.Active(httpapi.User(a.deleteThreepid))),
		contacts.Post("/account/3pid/unbind", httpapi.Removing, httpapi.Active(httpapi.User(a.unbindThreepid))),

		httpapi.Root.Post(threepid.SubmitPath, httpapi.EnteringCodes, httpapi.Public(a.submitToken)),
	}
}

// profileRoutes: "Profiles".
func (a *api) profileRoutes() []httpapi.Route {
	fields := httpapi.SinceV1.OrUnstable("uk.tcpip.msc4133")
	return []httpapi.Route{
		fields.Get("/profile/{userId}", httpapi.Reading, httpapi.Public(a.getProfile)),
		fields.Get("/profile/{userId}/{keyName}", httpapi.Reading, httpapi.Public(a.getProfileField)),
		fields.Put("/profile/{userId}/{keyName}", httpapi.ChangingProfile, httpapi.Active(httpapi.Guest(a.putProfileField))),
		fields.Delete("/profile/{userId}/{keyName}", httpapi.RemovingProfile, httpapi.Active(httpapi.Guest(a.deleteProfileField))),
	}
}

// roomRoutes: "Events", "Rooms".
func (a *api) roomRoutes() []httpapi.Route {
	const relations = "/rooms/{roomId}/relations/{eventId}"
	related := httpapi.ClientV1.OrUnstable("")
	return []httpapi.Route{
		httpapi.SinceV1.Post("/createRoom", httpapi.CreatingRooms, httpapi.Active(httpapi.User(a.createRoom))),

		httpapi.Client.Post("/rooms/{roomId}/upgrade", httpapi.CreatingRooms, httpapi.Active(httpapi.User(a.upgradeRoom))),

		httpapi.SinceV1.Post("/rooms/{roomId}/send/{eventType}", httpapi.Sending, httpapi.User(a.send)),
		httpapi.SinceV1.Put("/rooms/{roomId}/send/{eventType}/{txnId}", httpapi.Sending, httpapi.Guest(a.send)),
		httpapi.SinceV1.Post("/rooms/{roomId}/redact/{eventId}", httpapi.Redacting, httpapi.User(a.redact)),
		httpapi.SinceV1.Put("/rooms/{roomId}/redact/{eventId}/{txnId}", httpapi.Redacting, httpapi.User(a.redact)),

		httpapi.SinceV1.Get("/rooms/{roomId}/state", httpapi.Reading, httpapi.Guest(a.getRoomState)),
		httpapi.SinceV1.Get("/rooms/{roomId}/state/{eventType}", httpapi.Reading, httpapi.Guest(a.getState)),
		httpapi.SinceV1.Put("/rooms/{roomId}/state/{eventType}", httpapi.Sending, httpapi.Guest(a.setState)),
		httpapi.SinceV1.Get("/rooms/{roomId}/state/{eventType}/{stateKey}", httpapi.Reading, httpapi.Guest(a.getState)),
		httpapi.SinceV1.Put("/rooms/{roomId}/state/{eventType}/{stateKey}", httpapi.Sending, httpapi.Guest(a.setState)),
		httpapi.SinceV1.Get("/rooms/{roomId}/members", httpapi.Reading, httpapi.Guest(a.members)),
		httpapi.Client.Get("/rooms/{roomId}/joined_members", httpapi.Reading, httpapi.User(a.joinedMembers)),

		httpapi.SinceV1.Get("/rooms/{roomId}/messages", httpapi.Reading, httpapi.Guest(a.messages)),
		httpapi.Client.Get("/rooms/{roomId}/event/{eventId}", httpapi.Reading, httpapi.Guest(a.getEvent)),
		httpapi.SinceV1.Get("/rooms/{roomId}/context/{eventId}", httpapi.Reading, httpapi.Guest(a.eventContext)),
		related.Get(relations, httpapi.Reading, httpapi.User(a.relations)),
		related.Get(relations+"/{relType}", httpapi.Reading, httpapi.User(a.relations)),
		related.Get(relations+"/{relType}/{eventType}", httpapi.Reading, httpapi.User(a.relations)),

		httpapi.ClientV1.OrUnstable("org.matrix.msc3856").Get("/rooms/{roomId}/threads", httpapi.Reading, httpapi.User(a.threads)),
		httpapi.ClientV1.OrUnstable("org.matrix.msc3030").Get("/rooms/{roomId}/timestamp_to_event", httpapi.Reading, httpapi.User(a.timestampToEvent)),

		// As one version of the specification misprinted them.
		httpapi.MisprintedR0.Get("/rooms/{roomId}/context/{eventId}", httpapi.Reading, httpapi.Guest(a.eventContext)),
		httpapi.MisprintedR0.Put("/rooms/{roomId}/redact/{eventId}/{txnId}", httpapi.Redacting, httpapi.User(a.redact)),

		httpapi.Client.OrUnstable("org.matrix.msc2432").Get("/rooms/{roomId}/aliases", httpapi.Reading, httpapi.User(a.aliases)),
		httpapi.SinceV1.Get("/directory/room/{roomAlias}", httpapi.Reading, httpapi.Public(a.getAlias)),
		httpapi.SinceV1.Put("/directory/room/{roomAlias}", httpapi.Changing, httpapi.Active(httpapi.User(a.putAlias))),
		httpapi.SinceV1.Delete("/directory/room/{roomAlias}", httpapi.Removing, httpapi.Active(httpapi.User(a.deleteAlias))),
	}
}

// discoveryRoutes: "Published room directory", "Spaces", "Room Summaries", "User Directory", "Server Side
// Search", "Voice over IP".
func (a *api) discoveryRoutes() []httpapi.Route {
	summaries := httpapi.Prefixes{}.OrUnstable("im.nheko.summary")
	return []httpapi.Route{
		httpapi.Client.Get("/publicRooms", httpapi.Searching, httpapi.Public(a.getPublicRooms)),
		httpapi.Client.Post("/publicRooms", httpapi.Searching, httpapi.Guest(a.postPublicRooms)),
		httpapi.Client.Get("/directory/list/room/{roomId}", httpapi.Reading, httpapi.Public(a.getVisibility)),
		httpapi.Client.Put("/directory/list/room/{roomId}", httpapi.Changing, httpapi.Active(httpapi.User(a.putVisibility))),
		httpapi.ClientV1.Get("/rooms/{roomId}/hierarchy", httpapi.Searching, httpapi.Guest(a.hierarchy)),
		httpapi.ClientV1.Get("/room_summary/{roomIdOrAlias}", httpapi.Reading, httpapi.Anyone(a.roomSummary)),
		summaries.Get("/summary/{roomIdOrAlias}", httpapi.Reading, httpapi.Anyone(a.proposedRoomSummary)),
		summaries.Get("/rooms/{roomIdOrAlias}/summary", httpapi.Reading, httpapi.Anyone(a.proposedRoomSummary)),
		httpapi.Client.Post("/user_directory/search", httpapi.Searching, httpapi.User(a.searchUsers)),
		httpapi.SinceV1.Post("/search", httpapi.Searching, httpapi.User(a.search)),
		httpapi.SinceV1.Get("/voip/turnServer", httpapi.Reading, httpapi.Guest(a.turnServer)),
		httpapi.OnlyV1.Get("/turnServer", httpapi.Reading, httpapi.Guest(a.turnServer)),
		httpapi.ClientV1.OrUnstable("org.matrix.msc4143").Get("/rtc/transports", httpapi.Reading, httpapi.Guest(a.rtcTransports)),
	}
}

// membershipRoutes: "Room membership".
func (a *api) membershipRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.Client.Get("/joined_rooms", httpapi.Reading, httpapi.User(a.joinedRooms)),
		httpapi.ClientV1.Get("/mutual_rooms", httpapi.Reading, httpapi.User(a.mutualRooms)),
		httpapi.Prefixes{}.OrUnstable("uk.half-shot.msc2666").Get("/user/mutual_rooms", httpapi.Reading, httpapi.User(a.mutualRoomsAsProposed)),
		httpapi.SinceV1.Post("/join/{roomIdOrAlias}", httpapi.Joining, httpapi.Active(httpapi.Guest(a.joinRoomOrAlias))),
		httpapi.Client.OrUnstable("xyz.amorgan.knock").Post("/knock/{roomIdOrAlias}", httpapi.Joining, httpapi.Active(httpapi.User(a.knock))),
		httpapi.SinceV1.Post("/rooms/{roomId}/join", httpapi.Joining, httpapi.Active(httpapi.Guest(a.joinRoom))),
		httpapi.SinceV1.Post("/rooms/{roomId}/leave", httpapi.Sending, httpapi.Guest(a.leave)),
		httpapi.SinceV1.Post("/rooms/{roomId}/forget", httpapi.Removing, httpapi.User(a.forget)),
		httpapi.SinceV1.Post("/rooms/{roomId}/invite", httpapi.Inviting, httpapi.Active(httpapi.User(a.invite))),
		httpapi.SinceV1.Post("/rooms/{roomId}/kick", httpapi.Sending, httpapi.Active(httpapi.User(a.kick))),
		httpapi.SinceV1.Post("/rooms/{roomId}/ban", httpapi.Sending, httpapi.Active(httpapi.User(a.ban))),
		httpapi.SinceV1.Post("/rooms/{roomId}/unban", httpapi.Sending, httpapi.Active(httpapi.User(a.unban))),
	}
}

// syncRoutes: "Syncing", "Filtering".
func (a *api) syncRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.SinceV2Alpha.Get("/sync", httpapi.Polling, httpapi.Guest(a.sync)),
		httpapi.Prefixes{}.OrUnstable("org.matrix.simplified_msc3575").Post("/sync", httpapi.Polling, httpapi.User(a.slidingSync)),
		httpapi.SinceV2Alpha.Post("/user/{userId}/filter", httpapi.Filtering, httpapi.User(a.postFilter)),
		httpapi.SinceV2Alpha.Get("/user/{userId}/filter/{filterId}", httpapi.Reading, httpapi.User(a.getFilter)),
	}
}

// appServiceRoutes: Application Service API, "Client-Server API Extensions", and "Third-party
// Networks".
func (a *api) appServiceRoutes() []httpapi.Route {
	networks := httpapi.Client.OrUnstable("")
	return []httpapi.Route{
		httpapi.ClientV1.OrUnstable("fi.mau.msc2659").Post("/appservice/{appserviceId}/ping", httpapi.AskingServices, httpapi.User(a.pingAppService)),
		networks.Get("/thirdparty/protocols", httpapi.AskingServices, httpapi.User(a.protocols)),
		networks.Get("/thirdparty/protocol/{protocol}", httpapi.AskingServices, httpapi.User(a.protocol)),
		networks.Get("/thirdparty/location/{protocol}", httpapi.AskingServices, httpapi.User(a.findInNetwork(appservice.Location))),
		networks.Get("/thirdparty/user/{protocol}", httpapi.AskingServices, httpapi.User(a.findInNetwork(appservice.User))),
		networks.Get("/thirdparty/location", httpapi.AskingServices, httpapi.User(a.findByAlias)),
		networks.Get("/thirdparty/user", httpapi.AskingServices, httpapi.User(a.findByUser)),
	}
}

// keyRoutes: "End-to-End Encryption".
func (a *api) keyRoutes() []httpapi.Route {
	keys, signing := httpapi.SinceV2Alpha.OrUnstable(""), httpapi.Client.OrUnstable("")
	return []httpapi.Route{
		keys.Post("/keys/upload", httpapi.Storing, httpapi.Guest(a.uploadKeys)),
		keys.Post("/keys/upload/{deviceId}", httpapi.Storing, httpapi.Guest(a.uploadKeys)),
		keys.Post("/keys/query", httpapi.Reading, httpapi.Guest(a.queryKeys)),
		keys.Post("/keys/claim", httpapi.Claiming, httpapi.Guest(a.claimKeys)),
		keys.Get("/keys/changes", httpapi.Reading, httpapi.User(a.keyChanges)),

		signing.Post("/keys/device_signing/upload", httpapi.Storing, httpapi.User(a.uploadSigningKeys)),
		signing.Post("/keys/signatures/upload", httpapi.Storing, httpapi.User(a.uploadSignatures)),
	}
}

// toDeviceRoutes: "Send-to-Device messaging".
func (a *api) toDeviceRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.SinceV2Alpha.OrUnstable("").Put("/sendToDevice/{eventType}/{txnId}", httpapi.Changing, httpapi.Guest(a.sendToDevice)),
	}
}

// personalRoutes: "Client Config", "Room Tagging", "Receipts", "Read and unread
// markers", "Typing Notifications", "Presence".
func (a *api) personalRoutes() []httpapi.Route {
	return []httpapi.Route{
		httpapi.SinceV2Alpha.Get("/user/{userId}/account_data/{type}", httpapi.Reading, httpapi.User(a.getAccountData)),
		httpapi.SinceV2Alpha.Put("/user/{userId}/account_data/{type}", httpapi.Changing, httpapi.User(a.putAccountData)),
		httpapi.SinceV2Alpha.Get("/user/{userId}/rooms/{roomId}/account_data/{type}", httpapi.Reading, httpapi.User(a.getAccountData)),
		httpapi.SinceV2Alpha.Put("/user/{userId}/rooms/{roomId}/account_data/{type}", httpapi.Changing, httpapi.User(a.putAccountData)),
		httpapi.SinceV2Alpha.Get("/user/{userId}/rooms/{roomId}/tags", httpapi.Reading, httpapi.User(a.getTags)),
		httpapi.SinceV2Alpha.Put("/user/{userId}/rooms/{roomId}/tags/{tag}", httpapi.Changing, httpapi.User(a.putTag)),
		httpapi.SinceV2Alpha.Delete("/user/{userId}/rooms/{roomId}/tags/{tag}", httpapi.Removing, httpapi.User(a.deleteTag)),

		httpapi.SinceV2Alpha.Post("/rooms/{roomId}/receipt/{receiptType}/{eventId}", httpapi.Changing, httpapi.User(a.postReceipt)),
		httpapi.Client.Post("/rooms/{roomId}/read_markers", httpapi.Changing, httpapi.User(a.postReadMarkers)),
		httpapi.SinceV1.Put("/rooms/{roomId}/typing/{userId}", httpapi.Telling, httpapi.Active(httpapi.User(a.putTyping))),
		httpapi.SinceV1.Get("/presence/{userId}/status", httpapi.Reading, httpapi.User(a.getPresence)),
		httpapi.SinceV1.Put("/presence/{userId}/status", httpapi.Telling, httpapi.Active(httpapi.User(a.putPresence))),
	}
}

// mediaRoutes: "Content repository".
func (a *api) mediaRoutes() []httpapi.Route {
	both := slices.Concat(httpapi.OpenMedia, httpapi.AuthedMedia)
	return []httpapi.Route{
		httpapi.OpenMedia.Post("/upload", httpapi.Uploading, httpapi.Streaming(httpapi.Active(httpapi.User(a.upload)))),
		httpapi.LateMedia.Post("/create", httpapi.Uploading, httpapi.Active(httpapi.User(a.createMedia))),
		httpapi.LateMedia.Put("/upload/{serverName}/{mediaId}", httpapi.Uploading, httpapi.Streaming(httpapi.Active(httpapi.User(a.uploadTo)))),
		both.Get("/config", httpapi.Reading, httpapi.User(a.mediaConfig)),
		both.Get("/preview_url", httpapi.Previewing, httpapi.User(a.previewURL)),

		httpapi.OpenMedia.Get("/download/{serverName}/{mediaId}", httpapi.Downloading, httpapi.Public(a.unlessClosed(a.download))),
		httpapi.OpenMedia.Get("/download/{serverName}/{mediaId}/{fileName}", httpapi.Downloading, httpapi.Public(a.unlessClosed(a.download))),
		httpapi.OpenMedia.Get("/thumbnail/{serverName}/{mediaId}", httpapi.Downloading, httpapi.Public(a.unlessClosed(a.thumbnail))),
		httpapi.AuthedMedia.Get("/download/{serverName}/{mediaId}", httpapi.Downloading, httpapi.Guest(a.authedDownload)),
		httpapi.AuthedMedia.Get("/download/{serverName}/{mediaId}/{fileName}", httpapi.Downloading, httpapi.Guest(a.authedDownload)),
		httpapi.AuthedMedia.Get("/thumbnail/{serverName}/{mediaId}", httpapi.Downloading, httpapi.Guest(a.authedThumbnail)),
	}
}

// pushRoutes: "Push Notifications".
func (a *api) pushRoutes() []httpapi.Route {
	const rule = "/pushrules/{scope}/{kind}/{ruleId}"
	return []httpapi.Route{
		httpapi.SinceV1.Get("/pushrules", httpapi.Reading, httpapi.User(a.getPushRules)),
		httpapi.SinceV1.Get("/pushrules/{scope}", httpapi.Reading, httpapi.User(a.getGlobalPushRules)),
		httpapi.SinceV1.Get("/pushrules/{scope}/{kind}", httpapi.Reading, httpapi.User(a.getPushRulesOfKind)),
		httpapi.SinceV1.Get(rule, httpapi.Reading, httpapi.User(a.getPushRule)),
		httpapi.SinceV1.Put(rule, httpapi.Changing, httpapi.User(a.putPushRule)),
		httpapi.SinceV1.Delete(rule, httpapi.Removing, httpapi.User(a.deletePushRule)),
		httpapi.SinceV1.Get(rule+"/enabled", httpapi.Reading, httpapi.User(a.getPushRuleEnabled)),
		httpapi.SinceV1.Put(rule+"/enabled", httpapi.Changing, httpapi.User(a.putPushRuleEnabled)),
		httpapi.SinceV1.Get(rule+"/actions", httpapi.Reading, httpapi.User(a.getPushRuleActions)),
		httpapi.SinceV1.Put(rule+"/actions", httpapi.Changing, httpapi.User(a.putPushRuleActions)),

		httpapi.SinceV1.Get("/pushers", httpapi.Reading, httpapi.User(a.getPushers)),
		httpapi.SinceV1.Post("/pushers/set", httpapi.Storing, httpapi.User(a.setPusher)),
		httpapi.Client.Get("/notifications", httpapi.Reading, httpapi.User(a.notifications)),
	}
}

// delayedEventRoutes: MSC4140.
func (a *api) delayedEventRoutes() []httpapi.Route {
	delayed := httpapi.Prefixes{}.OrUnstable("org.matrix.msc4140")
	return []httpapi.Route{
		delayed.Put("/rooms/{roomId}/delayed_event/{eventType}/{txnId}", httpapi.Storing, httpapi.Active(httpapi.Guest(a.putDelayedEvent))),
		delayed.Get("/delayed_events", httpapi.Reading, httpapi.Guest(a.delayedEvents)),
		delayed.Get("/delayed_events/{delayId}", httpapi.Reading, httpapi.Guest(a.delayedEvent)),
		delayed.Post("/delayed_events/{delayId}", httpapi.PuttingOff, httpapi.Anyone(a.updateDelayedEvent)),
		delayed.Post("/delayed_events/{delayId}/{action}", httpapi.PuttingOff, httpapi.Anyone(a.actOnDelayedEvent)),
	}
}

// keyBackupRoutes: "Server-side key backups".
func (a *api) keyBackupRoutes() []httpapi.Route {
	const version, keys, ofRoom, ofSession = "/room_keys/version", "/room_keys/keys", "/room_keys/keys/{roomId}", "/room_keys/keys/{roomId}/{sessionId}"
	backups := httpapi.Client.OrUnstable("")
	return []httpapi.Route{
		backups.Post(version, httpapi.Storing, httpapi.User(a.postBackup)),
		backups.Get(version, httpapi.Reading, httpapi.User(a.getNewestBackup)),
		backups.Get(version+"/{version}", httpapi.Reading, httpapi.User(a.getBackup)),
		backups.Put(version+"/{version}", httpapi.Storing, httpapi.User(a.putBackup)),
		backups.Delete(version+"/{version}", httpapi.Removing, httpapi.User(a.deleteBackup)),

		backups.Put(keys, httpapi.Storing, httpapi.LargeBody(httpapi.User(a.putRoomKeys))),
		backups.Put(ofRoom, httpapi.Storing, httpapi.LargeBody(httpapi.User(a.putKeysOfRoom))),
		backups.Put(ofSession, httpapi.Storing, httpapi.User(a.putRoomKey)),
		backups.Get(keys, httpapi.Reading, httpapi.User(a.getRoomKeys)),
		backups.Get(ofRoom, httpapi.Reading, httpapi.User(a.getRoomKeys)),
		backups.Get(ofSession, httpapi.Reading, httpapi.User(a.getRoomKey)),
		backups.Delete(keys, httpapi.Removing, httpapi.User(a.deleteRoomKeys)),
		backups.Delete(ofRoom, httpapi.Removing, httpapi.User(a.deleteRoomKeys)),
		backups.Delete(ofSession, httpapi.Removing, httpapi.User(a.deleteRoomKeys)),
	}
}

// dehydratedDeviceRoutes: MSC3814, by its name as a proposal.
func (a *api) dehydratedDeviceRoutes() []httpapi.Route {
	const path = "/dehydrated_device"
	proposal := httpapi.Prefixes{}.OrUnstable("org.matrix.msc3814.v1")
	return []httpapi.Route{
		proposal.Put(path, httpapi.Storing, httpapi.User(a.putDehydratedDevice)),
		proposal.Get(path, httpapi.Reading, httpapi.User(a.getDehydratedDevice)),
		proposal.Delete(path, httpapi.Removing, httpapi.User(a.deleteDehydratedDevice)),
		proposal.Get(path+"/{deviceId}/events", httpapi.Reading, httpapi.User(a.getDehydratedEvents)),
		proposal.Post(path+"/{deviceId}/events", httpapi.Reading, httpapi.User(a.postDehydratedEvents)),
	}
}

// reportRoutes: "OpenID", "Reporting Content", "Server Administration", and the
// directories of application services.
func (a *api) reportRoutes() []httpapi.Route {
	moderation := httpapi.ClientV1.OrUnstable("uk.timedout.msc4323")
	return []httpapi.Route{
		httpapi.Client.Post("/user/{userId}/openid/request_token", httpapi.Changing, httpapi.User(a.requestOpenIDToken)),
		httpapi.Client.Post("/rooms/{roomId}/report/{eventId}", httpapi.Reporting, httpapi.User(a.reportEvent)),
		httpapi.SinceV3.OrUnstable("org.matrix.msc4151").Post("/rooms/{roomId}/report", httpapi.Reporting, httpapi.User(a.reportRoom)),
		httpapi.SinceV3.OrUnstable("org.matrix.msc4260").Post("/users/{userId}/report", httpapi.Reporting, httpapi.User(a.reportUser)),

		httpapi.Client.Get("/admin/whois/{userId}", httpapi.Reading, httpapi.User(a.whois)),
		moderation.Get("/admin/lock/{userId}", httpapi.Reading, httpapi.User(a.getLock)),
		moderation.Put("/admin/lock/{userId}", httpapi.Changing, httpapi.User(a.putLock)),
		moderation.Get("/admin/suspend/{userId}", httpapi.Reading, httpapi.User(a.getSuspension)),
		moderation.Put("/admin/suspend/{userId}", httpapi.Changing, httpapi.User(a.putSuspension)),
		httpapi.Client.Put("/directory/list/appservice/{networkId}/{roomId}", httpapi.Changing, httpapi.Active(httpapi.User(a.putNetworkVisibility))),
	}
}

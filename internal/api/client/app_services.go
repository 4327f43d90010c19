package client

import (
	"maps"

	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// pingAppService has the server call the application service that asks. Application Service
// API, "Pinging", POST /appservice/{appserviceId}/ping.
func (a *api) pingAppService(r *httpapi.Request, who matrix.Session) (any, error) {
	var body struct {
		TransactionID string `json:"transaction_id"`
	}
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	return a.AppServices.Ping(r.Context(), who.AppService, r.Param("appserviceId"), body.TransactionID)
}

// protocols describes the third-party networks that there are. Section "Third-party Networks",
// GET /thirdparty/protocols.
func (a *api) protocols(r *httpapi.Request, _ matrix.Session) (any, error) {
	return a.AppServices.Protocols(r.Context())
}

// protocol describes one of them. GET /thirdparty/protocol/{protocol}.
func (a *api) protocol(r *httpapi.Request, _ matrix.Session) (any, error) {
	return a.AppServices.Protocol(r.Context(), r.Param("protocol"))
}

// findInNetwork returns the handler that looks for places or people in a network, by all
// parameters of the query that are not the engine's. GET /thirdparty/location/{protocol} and
// user/{protocol}.
func (a *api) findInNetwork(kind string) func(*httpapi.Request, matrix.Session) (any, error) {
	return func(r *httpapi.Request, who matrix.Session) (any, error) {
		fields := maps.Clone(r.QueryValues())
		delete(fields, "access_token")
		if who.AppService != "" {
			for _, name := range []string{"user_id", "device_id", "org.matrix.msc3202.device_id"} {
				delete(fields, name)
			}
		}
		return a.AppServices.Find(r.Context(), kind, r.Param("protocol"), fields)
	}
}

// findByAlias returns the places in third-party networks that an alias stands for. GET
// /thirdparty/location.
func (a *api) findByAlias(r *httpapi.Request, _ matrix.Session) (any, error) {
	return a.AppServices.FindByAlias(r.Context(), r.Query("alias"))
}

// findByUser returns the people in third-party networks that a user stands for. GET
// /thirdparty/user.
func (a *api) findByUser(r *httpapi.Request, _ matrix.Session) (any, error) {
	return a.AppServices.FindByUser(r.Context(), r.Query("userid"))
}

package client

import (
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
)

// turnServer returns the means to use a TURN server, {} where there is none. Section
// "Voice over IP", GET /voip/turnServer.
func (a *api) turnServer(_ *httpapi.Request, who matrix.Session) (any, error) {
	credentials, err := a.Turn.Credentials(who.UserID, who.Guest)
	if err != nil {
		return nil, err
	}
	if credentials == nil {
		return httpapi.Empty{}, nil
	}
	return credentials, nil
}

// rtcTransport is a way for group calls: a LiveKit server, named by the service that admits
// users of Matrix to it.
type rtcTransport struct {
	Type string `json:"type"`
	URL  string `json:"livekit_service_url"`
}

// transports lists the ways for group calls, the one to prefer first.
func (a *api) transports() []rtcTransport {
	list := make([]rtcTransport, len(a.LiveKitURLs))
	for i, address := range a.LiveKitURLs {
		list[i] = rtcTransport{"livekit", address}
	}
	return list
}

type transportsAnswer struct {
	Transports []rtcTransport `json:"rtc_transports"`
}

// rtcTransports returns the ways for group calls. MSC4143, GET /rtc/transports.
func (a *api) rtcTransports(*httpapi.Request, matrix.Session) (any, error) {
	return transportsAnswer{a.transports()}, nil
}

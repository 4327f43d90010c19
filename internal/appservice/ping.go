package appservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"homeserver/internal/matrix"
)

const (
	callPing = "ping"
	// pingTimeout is how long a service may take to answer a ping.
	pingTimeout = 10 * time.Second
	// maxPingAnswer is the longest answer to a ping that is read.
	maxPingAnswer = 8 << 10
)

// Pong is the answer to a ping: how long the service took.
type Pong struct {
	DurationMS int64 `json:"duration_ms"`
}

// Ping calls a service for itself, to show that it can be reached and takes the hs_token.
// M_FORBIDDEN unless the service that asks is the one with the ID, M_URL_NOT_SET,
// M_CONNECTION_TIMEOUT, M_CONNECTION_FAILED, M_BAD_STATUS with status and body of the answer.
// Application Service API, "Pinging".
func (s *Service) Ping(ctx context.Context, asking, id, transactionID string) (Pong, error) {
	r := s.byID[id]
	if asking != id || r == nil {
		return Pong{}, matrix.Errorf(matrix.Forbidden, "the access token is not that of this application service")
	}
	body := map[string]string{}
	if transactionID != "" {
		body["transaction_id"] = transactionID
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return Pong{}, fmt.Errorf("encode a ping: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.patience(pingTimeout))
	defer cancel()
	began := time.Now()
	answer, err := s.Call(ctx, r, Call{
		Name: callPing, Method: http.MethodPost, Path: "/_matrix/app/v1/ping", Body: encoded, MaxAnswerBytes: maxPingAnswer,
	})
	switch {
	case errors.Is(err, ErrNoURL):
		return Pong{}, matrix.Errorf(matrix.URLNotSet, "the registration of the application service has no URL")
	case timedOut(err):
		return Pong{}, matrix.Errorf(matrix.ConnectionTimeout, "the application service did not answer in time")
	case err != nil:
		return Pong{}, matrix.Errorf(matrix.ConnectionFailed, "the application service can't be reached: %v", err)
	case !answer.OK():
		refused := matrix.Errorf(matrix.BadStatus, "the application service answered with the status %d", answer.Status)
		refused.Fields = map[string]any{"status": answer.Status, "body": strings.ToValidUTF8(string(answer.Body), "\uFFFD")}
		return Pong{}, refused
	}
	s.onReach(id)
	return Pong{time.Since(began).Milliseconds()}, nil
}

package httppusher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"homeserver/internal/matrix"
)

// maxAnswerBytes is how much of a gateway's answer is read.
const maxAnswerBytes = 64 << 10

// post sends a notification to a gateway. It reports whether the gateway has rejected the
// pusher, which is deleted then. Push gateway API, POST /_matrix/push/v1/notify.
func (s *Service) post(ctx context.Context, to *target, n *notification) (rejected bool, err error) {
	body, err := matrix.EncodeJSON(map[string]*notification{"notification": n})
	if err != nil {
		return false, fmt.Errorf("encode a notification: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("ask the push gateway: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := s.o.Client.Do(request)
	if err != nil {
		return false, fmt.Errorf("ask the push gateway: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err != nil {
		return false, fmt.Errorf("read the answer of the push gateway: %w", err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return false, fmt.Errorf("the push gateway answers %s", answer.Status)
	}
	var said struct {
		Rejected []string `json:"rejected"`
	}
	// What is no JSON rejects nothing: the gateway has said that all is well.
	if json.Unmarshal(text, &said) != nil || !slices.Contains(said.Rejected, to.device.Pushkey) {
		s.metrics.sent.Inc()
		return false, nil
	}
	users, err := s.o.Push.RemoveRejected(ctx, to.device.AppID, to.device.Pushkey, to.url)
	if err != nil {
		return false, err
	}
	s.metrics.rejected.Inc()
	s.o.Log.InfoContext(ctx, "a push gateway has rejected a pusher, which is deleted", "app", to.device.AppID, "users", users)
	return true, nil
}

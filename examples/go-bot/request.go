package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// tryAgain is the failure of a request that may succeed later.
type tryAgain struct {
	reason string
	after  time.Duration // 0: the server has not said when
}

// Error implements error.
func (t *tryAgain) Error() string { return t.reason }

// try makes a request once, and decodes the answer unless into is nil. Where it is worth to try again, the error is a *tryAgain.
func (b *Bot) try(ctx context.Context, method, path string, body, into any) error {
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, b.BaseURL+"/_matrix/client/v3"+path, sent)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+b.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return &tryAgain{reason: err.Error()}
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	content, err := io.ReadAll(answer.Body)
	switch {
	case err != nil: // a part of the answer is lost
		return &tryAgain{reason: err.Error()}
	case answer.StatusCode == http.StatusTooManyRequests:
		return &tryAgain{reason: answer.Status, after: retryAfter(answer.Header, content)}
	case answer.StatusCode >= http.StatusInternalServerError:
		return &tryAgain{reason: answer.Status}
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, content)
	case into == nil:
		return nil
	}
	return json.Unmarshal(content, into)
}

// retryAfter returns how long to wait, by the header, or by the member that it replaces; 0: neither says so.
func retryAfter(header http.Header, content []byte) time.Duration {
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
		return time.Duration(seconds) * time.Second
	}
	var body struct {
		RetryAfterMS int64 `json:"retry_after_ms"`
	}
	if json.Unmarshal(content, &body) != nil {
		return 0
	}
	return time.Duration(body.RetryAfterMS) * time.Millisecond
}

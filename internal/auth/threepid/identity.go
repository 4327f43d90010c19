package threepid

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"homeserver/internal/auth/identity"
	"homeserver/internal/event"
	"homeserver/internal/matrix"
)

// The paths of the identity service API, version 2.
const (
	bindPath   = "/_matrix/identity/v2/3pid/bind"
	unbindPath = "/_matrix/identity/v2/3pid/unbind"
)

// identityClient speaks to identity servers.
type identityClient struct {
	client *identity.Client
	signer *event.Signer
}

// bind publishes the address of a session of the identity server. Identity service
// API, POST /3pid/bind.
func (i identityClient) bind(ctx context.Context, server identity.Place, userID string, c Credentials) (Address, error) {
	body, err := json.Marshal(map[string]string{"sid": c.SID, "client_secret": c.ClientSecret, "mxid": userID})
	if err != nil {
		return Address{}, fmt.Errorf("encode a binding: %w", err)
	}
	content, err := i.post(ctx, server, bindPath, "Bearer "+c.IDAccessToken, body)
	if err != nil {
		return Address{}, err
	}
	var bound Address
	if err := json.Unmarshal(content, &bound); err != nil {
		return Address{}, server.Unreachable("its answer makes no sense")
	}
	address, err := Canonical(bound.Medium, bound.Address)
	if err != nil {
		return Address{}, server.Unreachable("its answer names no address")
	}
	return address, nil
}

// unbind removes the binding, in the name of this server. M_UNRECOGNIZED if the
// identity server does not support that. Identity service API, POST /3pid/unbind.
func (i identityClient) unbind(ctx context.Context, server identity.Place, userID string, a Address) error {
	body, err := json.Marshal(map[string]any{"mxid": userID, "threepid": a})
	if err != nil {
		return fmt.Errorf("encode an unbinding: %w", err)
	}
	authorization, err := i.sign(server, unbindPath, body)
	if err != nil {
		return err
	}
	_, err = i.post(ctx, server, unbindPath, authorization, body)
	return err
}

// sign makes the Authorization header of a POST. Server-server API, "Request
// Authentication".
func (i identityClient) sign(server identity.Place, path string, body []byte) (string, error) {
	request, err := json.Marshal(map[string]any{
		"method": http.MethodPost, "uri": path, "origin": i.signer.ServerName,
		"destination": server.Name, "content": json.RawMessage(body),
	})
	if err != nil {
		return "", fmt.Errorf("encode a signed request: %w", err)
	}
	signed, err := i.signer.SignJSON(request)
	if err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	var result struct {
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(signed, &result); err != nil {
		return "", fmt.Errorf("read a signed request: %w", err)
	}
	return fmt.Sprintf(`X-Matrix origin="%s",destination="%s",key="%s",sig="%s"`, i.signer.ServerName, server.Name,
		i.signer.KeyID, result.Signatures[i.signer.ServerName][i.signer.KeyID]), nil
}

// post sends a request and returns the body of the answer if that is 200.
func (i identityClient) post(ctx context.Context, server identity.Place, path, authorization string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, matrix.Errorf(matrix.InvalidParam, "id_server is not the name of a server")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", authorization)
	status, content, err := i.client.Exchange(server, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal(server, status, content)
	}
	return content, nil
}

// maxSaidBytes bounds the part of an identity server's error text that reaches a
// client.
const maxSaidBytes = 500

// refusal passes an error of an identity server on. One that has not the form of Matrix
// means that it does not know the endpoint. One about its own access token, or that a
// user is logged out, must not look as if it were from here.
func refusal(server identity.Place, status int, body []byte) error {
	var said struct {
		Code    matrix.Code `json:"errcode"`
		Message string      `json:"error"`
	}
	// On these codes clients would forget their access token for this server.
	aboutTokens := []matrix.Code{matrix.UnknownToken, matrix.MissingToken, matrix.UserDeactivated}
	known := json.Unmarshal(body, &said) == nil && said.Code != "" && len(said.Code) <= maxSaidBytes
	switch {
	case status == http.StatusUnauthorized, known && slices.Contains(aboutTokens, said.Code):
		return matrix.Errorf(matrix.ThreepidAuthFailed, "The identity server did not accept the credentials")
	case known && status >= 400 && status < 500:
		return &matrix.Error{Code: said.Code, Message: said.Message[:min(len(said.Message), maxSaidBytes)], Status: status}
	case status == http.StatusBadRequest, status == http.StatusNotFound, status == http.StatusNotImplemented:
		return matrix.Errorf(matrix.Unrecognized, "The identity server does not support this")
	default:
		return server.Unreachable("it answered " + strconv.Itoa(status))
	}
}

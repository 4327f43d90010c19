package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"homeserver/internal/matrix"
	"homeserver/internal/outgoing"
)

// Options is what a Client is made of.
type Options struct {
	Outgoing *outgoing.Client
	// Servers are the only identity servers that are spoken to, as host names, or as
	// URLs for those that are not reached by https; empty: all, by https.
	Servers []string
}

// Client speaks to identity servers in the name of their users. It may be used
// concurrently.
type Client struct{ o Options }

// New makes a Client.
func New(o Options) *Client { return &Client{o} }

// Server is an identity server and the access token that the user has there.
type Server struct {
	// Name is a host name with an optional port; what stands before :// is ignored.
	Name  string
	Token string
}

// address finds the name and the base URL of a server. M_INVALID_PARAM for what is no
// server name, M_SERVER_NOT_TRUSTED for one that is not listed.
func (c *Client) address(s Server) (name, baseURL string, err error) {
	name = s.Name
	if _, after, isURL := strings.Cut(name, "://"); isURL {
		name = after
	}
	name = strings.ToLower(strings.TrimSuffix(name, "/"))
	if !matrix.IsServerName(name) {
		return "", "", matrix.Errorf(matrix.InvalidParam, "id_server must be the host name of an identity server")
	}
	if len(c.o.Servers) == 0 {
		return name, "https://" + name, nil
	}
	for _, listed := range c.o.Servers {
		if strings.EqualFold(listed, name) {
			return name, "https://" + name, nil
		}
		if u, err := url.Parse(listed); err == nil && u.Host != "" && strings.EqualFold(u.Host, name) {
			return name, strings.TrimSuffix(listed, "/"), nil
		}
	}
	return "", "", matrix.Errorf(matrix.ServerNotTrusted, "This server does not trust the identity server %s", name)
}

// call asks an endpoint of an identity server, with a body if that is not nil, and
// decodes the answer. An error of the identity server is given on; what is about the
// token there must not look as if the client's were void here.
func (c *Client) call(ctx context.Context, s Server, method, path string, body, answer any) error {
	name, baseURL, err := c.address(s)
	if err != nil {
		return err
	}
	var content []byte
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode a request to an identity server: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, baseURL+"/_matrix/identity/v2"+path, bytes.NewReader(content))
	if err != nil {
		return matrix.Errorf(matrix.InvalidParam, "id_server must be the host name of an identity server")
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	return c.send(request, name, answer)
}

// send sends a request to the server of that name and decodes the answer.
func (c *Client) send(request *http.Request, name string, answer any) error {
	response, err := c.o.Outgoing.Do(request)
	switch {
	case errors.Is(err, outgoing.ErrForbidden):
		return matrix.Errorf(matrix.ServerNotTrusted, "This server may not connect to %s", name)
	case request.Context().Err() != nil:
		return fmt.Errorf("ask an identity server: %w", request.Context().Err())
	case err != nil:
		return unreachable(name, "there is no connection")
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return unreachable(name, "its answer broke off")
	}
	if response.StatusCode != http.StatusOK {
		return refusal(name, response.StatusCode, content)
	}
	if json.Unmarshal(content, answer) != nil {
		return unreachable(name, "its answer makes no sense")
	}
	return nil
}

// refusal gives on what an identity server has against a request.
func refusal(name string, status int, body []byte) error {
	var said struct {
		Code    matrix.Code `json:"errcode"`
		Message string      `json:"error"`
	}
	known := json.Unmarshal(body, &said) == nil && said.Code != ""
	switch {
	case status == http.StatusUnauthorized, said.Code == matrix.UnknownToken, said.Code == matrix.MissingToken:
		return matrix.Errorf(matrix.Forbidden, "The identity server did not accept id_access_token")
	case known && status >= 400 && status < 500:
		return &matrix.Error{Code: said.Code, Message: said.Message, Status: status}
	default:
		return unreachable(name, http.StatusText(status))
	}
}

// unreachable tells that it is the identity server that fails.
func unreachable(name, why string) *matrix.Error {
	return &matrix.Error{
		Code: matrix.Unknown, Status: http.StatusBadGateway,
		Message: fmt.Sprintf("The identity server %s could not be asked: %s", name, why),
	}
}

package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/safehttp"
)

// Options has all that a Client needs.
type Options struct {
	Outgoing *safehttp.Client
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
	// Name is a host name with an optional port; a scheme before :// is ignored.
	Name  string
	Token string
}

// Place is where an identity server is found. Name is how clients call it: host and
// port.
type Place struct{ Name, BaseURL string }

// Find returns the server that a client names, as a host name or, as careless clients
// do, a URL. M_INVALID_PARAM for a text that is no server name, M_SERVER_NOT_TRUSTED
// for one that is not listed.
func (c *Client) Find(named string) (Place, error) {
	name := named
	if _, after, isURL := strings.Cut(named, "://"); isURL {
		name = after
	}
	name = strings.ToLower(strings.TrimSuffix(name, "/"))
	if !matrix.IsServerName(name) {
		return Place{}, matrix.Errorf(matrix.InvalidParam, "id_server must be the host name of an identity server")
	}
	if len(c.o.Servers) == 0 {
		return Place{name, "https://" + name}, nil
	}
	for _, listed := range c.o.Servers {
		if strings.EqualFold(listed, name) {
			return Place{name, "https://" + name}, nil
		}
		if u, err := url.Parse(listed); err == nil && u.Host != "" && strings.EqualFold(u.Host, name) {
			return Place{name, strings.TrimSuffix(listed, "/")}, nil
		}
	}
	return Place{}, matrix.Errorf(matrix.ServerNotTrusted, "This server does not trust the identity server %s", name)
}

// call calls an endpoint of an identity server, with a body if that is not nil, and
// decodes the answer. An error of the identity server is passed on; but one about the
// token there must not look as if the client's token here were void.
func (c *Client) call(ctx context.Context, s Server, method, path string, body, answer any) error {
	place, err := c.Find(s.Name)
	if err != nil {
		return err
	}
	var content []byte
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode a request to an identity server: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, place.BaseURL+"/_matrix/identity/v2"+path, bytes.NewReader(content))
	if err != nil {
		return matrix.Errorf(matrix.InvalidParam, "id_server must be the host name of an identity server")
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	return c.send(place, request, answer)
}

// send sends a request and decodes the answer.
func (c *Client) send(p Place, request *http.Request, answer any) error {
	status, body, err := c.Exchange(p, request)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return refusal(p, status, body)
	case json.Unmarshal(body, answer) != nil:
		return p.Unreachable("its answer makes no sense")
	}
	return nil
}

// Exchange sends a request to a server and returns the status and the body of the
// answer. M_UNKNOWN with 502 for a server that can't be reached; the same for one at an
// address that is not allowed, since the client must not learn which names exist in the
// network of this server.
func (c *Client) Exchange(p Place, request *http.Request) (status int, body []byte, err error) {
	response, err := c.o.Outgoing.Do(request)
	switch {
	case request.Context().Err() != nil:
		return 0, nil, fmt.Errorf("ask an identity server: %w", request.Context().Err())
	case err != nil:
		return 0, nil, p.Unreachable("there is no connection")
	}
	defer response.Body.Close() //nolint:errcheck // it is only read
	body, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, p.Unreachable("its answer broke off")
	}
	if event.HasMoreValues(body, event.MaxValues) {
		return 0, nil, p.Unreachable("its answer is too large")
	}
	return response.StatusCode, body, nil
}

// refusal turns an error of an identity server into the error for the client.
func refusal(p Place, status int, body []byte) error {
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
		return p.Unreachable(http.StatusText(status))
	}
}

// Unreachable returns the error for a failing identity server: M_UNKNOWN with 502.
func (p Place) Unreachable(why string) *matrix.Error {
	return &matrix.Error{
		Code: matrix.Unknown, Status: http.StatusBadGateway,
		Message: fmt.Sprintf("The identity server %s could not be asked: %s", p.Name, why),
	}
}

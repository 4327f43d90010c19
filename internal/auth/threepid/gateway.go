package threepid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"homeserver/internal/event"
	"homeserver/internal/safehttp"
)

// DefaultGatewayBody is the template of the body where no other is configured.
const DefaultGatewayBody = `{"to": "{to}", "text": "{text}"}`

// GatewayOptions say how text messages are sent: by a POST of JSON to a gateway.
type GatewayOptions struct {
	// URL of the gateway.
	URL string
	// Authorization is the header of that name; "": none.
	Authorization string
	// Body is a template of the JSON object: {to} is replaced by the number, with a
	// plus sign in front, and {text} by the message, each inside a string. "" means
	// DefaultGatewayBody.
	Body string
}

// Gateway sends text messages. It may be used concurrently.
type Gateway struct {
	o      GatewayOptions
	client *safehttp.Client
}

// NewGateway makes a Gateway. The error is one of configuration.
func NewGateway(o GatewayOptions) (*Gateway, error) {
	if o.Body == "" {
		o.Body = DefaultGatewayBody
	}
	g := &Gateway{o: o, client: safehttp.New(safehttp.Options{
		// The operator has chosen the address, and it may be on the local network.
		AllowedRanges: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	})}
	if !json.Valid(g.body("+1", "text")) || !strings.Contains(o.Body, "{to}") || !strings.Contains(o.Body, "{text}") {
		return nil, errors.New("set up text messages: the body is no JSON with \"{to}\" and \"{text}\" in strings")
	}
	return g, nil
}

// body fills the template in.
func (g *Gateway) body(to, text string) []byte {
	inString := func(s string) string {
		quoted := event.AppendString(nil, s)
		return string(quoted[1 : len(quoted)-1])
	}
	return []byte(strings.NewReplacer("{to}", inString(to), "{text}", inString(text)).Replace(g.o.Body))
}

// send hands a text message to the gateway, which must answer 2xx.
func (g *Gateway) send(ctx context.Context, to Address, text string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.o.URL, bytes.NewReader(g.body("+"+to.Address, text)))
	if err != nil {
		return fmt.Errorf("send a text message: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if g.o.Authorization != "" {
		request.Header.Set("Authorization", g.o.Authorization)
	}
	answer, err := g.client.Do(request)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // without the URL, which may hold a key
		}
		return fmt.Errorf("send a text message: %w", errors.Join(errNotSent, err))
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, 500)) // for the log, as far as it can be read
		return fmt.Errorf("send a text message: the gateway answered %s, %q: %w", answer.Status, reason, errNotSent)
	}
	return nil
}

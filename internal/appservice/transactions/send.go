package transactions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"homeserver/internal/appservice"
)

// sendTimeout is for one attempt, with the answer. It is long, since services work at a
// transaction before they answer, and one that is sent again meanwhile is work for them, too.
const sendTimeout = 2 * time.Minute

// send sends a transaction once. It is taken if the answer is 200 and has arrived, as far as it
// is read. Application Service API, PUT /_matrix/app/v1/transactions/{txnId}.
func (l *lane) send(ctx context.Context, t *transaction) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	path := "/transactions/" + url.PathEscape(t.id)
	answer, err := l.s.o.Services.Call(ctx, l.r, appservice.Call{
		Name: "transaction", Method: http.MethodPut, Path: "/_matrix/app/v1" + path, Legacy: path, Body: t.body,
	})
	if _, long := errors.AsType[*http.MaxBytesError](err); err != nil && !long {
		return err
	}
	if answer.Status != http.StatusOK {
		return fmt.Errorf("the application service answers %d %s", answer.Status, http.StatusText(answer.Status))
	}
	return nil
}

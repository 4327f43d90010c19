package threepid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/matrix"
)

// Caps bounds the text messages of the whole server, for all users together. Each message
// costs the operator money, and strangers can rent numbers that earn by each message they
// get. 0 is no bound.
type Caps struct {
	// PerHour is for an hour by the clock, PerDay for 24 of them, the current one
	// included.
	PerHour, PerDay int
}

const (
	hourMS = int64(time.Hour / time.Millisecond)
	// hoursOfDay is how many hours PerDay is about.
	hoursOfDay = 24
)

// sendText sends a text message, unless the server has sent too many:
// M_LIMIT_EXCEEDED, with the time after which to come again.
func (s *Service) sendText(ctx context.Context, to Address, text string) error {
	hour := s.nowMS() / hourMS
	reached, err := s.countText(ctx, hour)
	if err != nil {
		return err
	}
	if reached != "" {
		// The refusals of an hour are logged once.
		if s.cappedIn.Swap(hour) != hour {
			s.o.Log.WarnContext(ctx, "text messages are refused: the server has sent as many as it may", "limit", reached)
		}
		return matrix.TooMany(time.Duration((hour+1)*hourMS-s.nowMS()) * time.Millisecond)
	}
	if err := s.o.Gateway.send(ctx, to, text); err != nil {
		return errors.Join(err, s.uncountText(ctx, hour))
	}
	return nil
}

// countText counts a message. If a cap is reached, it counts nothing, and returns the key
// of the cap.
func (s *Service) countText(ctx context.Context, hour int64) (reached string, err error) {
	if s.o.TextCaps == (Caps{}) {
		return "", nil
	}
	err = pgx.BeginFunc(ctx, s.o.Pool, func(tx pgx.Tx) error {
		inHour, inDay, err := textsSent(ctx, tx, hour)
		if err != nil {
			return err
		}
		switch caps := s.o.TextCaps; {
		case caps.PerHour > 0 && inHour >= caps.PerHour:
			reached = "sms.max_per_hour"
		case caps.PerDay > 0 && inDay >= caps.PerDay:
			reached = "sms.max_per_day"
		default:
			return addText(ctx, tx, hour, 1)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("count a text message: %w", err)
	}
	return reached, nil
}

// uncountText takes back what was not sent.
func (s *Service) uncountText(ctx context.Context, hour int64) error {
	if s.o.TextCaps == (Caps{}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	return addText(ctx, s.o.Pool, hour, -1)
}

package httpapi

import (
	"context"
	"log/slog"
)

// LogRequestIDs makes a handler of log records that adds request_id to each that is
// logged with the context of a request, in any service: by slog's methods with a
// context.
func LogRequestIDs(next slog.Handler) slog.Handler { return &requestLog{next} }

type requestLog struct{ slog.Handler }

// Handle adds the ID and passes the record on.
func (l *requestLog) Handle(ctx context.Context, record slog.Record) error {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		record = record.Clone()
		record.AddAttrs(slog.String("request_id", x.id))
	}
	return l.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (l *requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &requestLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l *requestLog) WithGroup(name string) slog.Handler {
	return &requestLog{l.Handler.WithGroup(name)}
}

package timeline

import (
	"context"

	"homeserver/internal/reserve"
)

// WriteEvents writes a JSON array of the events of a cursor.
func (f *Format) WriteEvents(ctx context.Context, w *reserve.Writer, c *Cursor) error {
	return WriteList(ctx, w, c, f.AppendJSON)
}

// WriteList writes a JSON array of the events of a cursor, each written by appendJSON.
func WriteList(ctx context.Context, w *reserve.Writer, c *Cursor, appendJSON func([]byte, *Event) []byte) error {
	w.B = append(w.B, '[')
	first := true
	for e, err := range c.All(ctx) {
		if err != nil {
			return err
		}
		if !first {
			w.B = append(w.B, ',')
		}
		first = false
		w.B = appendJSON(w.B, e)
		if err := w.Pass(); err != nil {
			return err //nolint:wrapcheck // it is the connection's own
		}
	}
	w.B = append(w.B, ']')
	return nil
}

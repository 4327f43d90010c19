package reserve

// PieceBytes is from where on an answer is sent in pieces. Most answers are shorter, and are
// sent as a whole.
const PieceBytes = 128 << 10

// Writer writes an answer in pieces: Pass sends B once it is long enough. It is not for
// concurrent use.
type Writer struct {
	// B has the bytes that have been written and not sent.
	B []byte

	send  func(piece []byte) error
	begun bool
}

// NewWriter makes a Writer that begins in the memory of a slice.
func NewWriter(b []byte, send func(piece []byte) error) *Writer {
	return &Writer{B: b[:0], send: send}
}

// Pass sends B if it is long enough, and empties it then.
func (w *Writer) Pass() error {
	if len(w.B) < PieceBytes {
		return nil
	}
	return w.Flush()
}

// Flush sends B, and empties it.
func (w *Writer) Flush() error {
	w.begun = true
	err := w.send(w.B)
	w.B = w.B[:0]
	return err
}

// Begun reports whether anything has been sent: an error can then only break the
// answer off.
func (w *Writer) Begun() bool { return w.begun }

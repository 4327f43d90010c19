package timeline

import (
	"strings"

	"homeserver/internal/event"
)

// DelayedTransaction is the beginning of the transaction ID of an event that was scheduled
// before it was sent; the delay ID follows. MSC4140.
const DelayedTransaction = "delayed "

// Shown is a stored event as one reader is to see it. Answers are written from this
// type alone, so that nothing of an [Event] reaches a reader for whom it is not meant.
type Shown struct {
	// Event is its redacted form, where the event was redacted or is hidden.
	*event.Event
	// Stored is the event itself. Its ID, type, sender and time are for everybody.
	Stored *Event
	// Because is the event that has redacted it; nil: none has.
	Because *Event
	// ReaderIs is the membership that the reader had then; "": the reader is not known.
	ReaderIs string
	// PrevContent is the content of the state event that it replaced; nil: there is none,
	// or it is not for the reader.
	PrevContent []byte
	// TxnID is that of the request, for the device that has sent the event.
	TxnID string
	// DelayID is that of an event that was scheduled before it was sent, for its sender.
	DelayID string
}

// isRedacted reports whether the event was redacted or is hidden.
func (s *Shown) isRedacted() bool { return s.Stored.Redacted() || s.Event != s.Stored.Event }

// show returns an event as the reader of the format is to see it.
func (f *Format) show(e *Event) Shown {
	s := Shown{Stored: e}
	s.Event, s.Because = f.Access.shown(e)
	if f.Hidden[e.Sender] && e.StateKey == nil && s.Event == e.Event {
		s.Event = redactedCopy(e.Event)
	}
	if f.Access != nil {
		s.ReaderIs = f.Access.MembershipAt(e.Place)
	}
	if r := e.Replaces; r != nil {
		hidden := f.Access.hides(r.Sender, e.Type, true, r.Place)
		if !e.Redacted() && !hidden && (f.Access == nil || f.Access.Sees(r.Place)) {
			s.PrevContent = r.Content()
		}
	}
	if e.TxnID == "" || e.Sender != f.UserID {
		return s
	}
	if delayID, ok := strings.CutPrefix(e.TxnID, DelayedTransaction); ok {
		s.DelayID = delayID
	} else if e.DeviceID == f.DeviceID {
		s.TxnID = e.TxnID
	}
	return s
}

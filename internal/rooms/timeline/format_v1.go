package timeline

import "homeserver/internal/event"

// appendV1 appends the event in the format of api/v1: members of today's unsigned are
// in the event itself, the sender is called user_id, too, and a member event has its
// membership also outside of the content. The text of that time is "Events", "Event
// formats", in the specification of November 2015.
func (f *Format) appendV1(dst []byte, shown *Shown) []byte {
	e := shown.Stored
	dst = f.appendFields(dst, shown)
	dst = f.appendAge(append(dst, ','), e)
	if e.StateKey != nil && e.Type == event.TypeMember {
		dst = append(dst, `,"membership":`...)
		dst = event.AppendString(dst, shown.Membership())
	}
	dst = f.appendBeside(dst, shown)
	dst = append(dst, `,"user_id":`...)
	return append(event.AppendString(dst, e.Sender), '}')
}

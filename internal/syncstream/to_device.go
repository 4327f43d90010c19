package syncstream

import (
	"context"

	"homeserver/internal/journal"
	"homeserver/internal/reserve"
)

// fillToDevice reads the messages that wait for the device, as many as one answer may hold.
func (s *Service) fillToDevice(ctx context.Context, p *plan) (err error) {
	if p.noToDevice {
		p.skipToDevice(0)
		return nil
	}
	p.toDevice, p.toDeviceUpTo, err = s.ToDevice.Read(ctx, p.waiting)
	return err
}

// skipToDevice is called where the answer shows no messages to the device, which has got those
// up to a position: if any may wait its token says so, and /sync brings them from there.
func (p *plan) skipToDevice(given journal.Position) {
	p.toDeviceUpTo = given
	if p.waiting.Empty() {
		p.toDeviceUpTo = p.upTo
	}
}

// writeToDevice writes the list of messages to the device.
func (p *plan) writeToDevice(w *reserve.Writer) error {
	w.B = append(w.B, `"to_device":{"events":[`...)
	l := list{w: w}
	for _, m := range p.toDevice {
		if err := l.add(m.AppendJSON); err != nil {
			return err
		}
	}
	w.B = append(w.B, `]}`...)
	return nil
}

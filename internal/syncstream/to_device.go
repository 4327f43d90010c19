package syncstream

import (
	"context"

	"homeserver/internal/reserve"
)

// fillToDevice reads the messages that wait for the device, as many as one answer may hold.
func (s *Service) fillToDevice(ctx context.Context, p *plan) (err error) {
	if p.toDeviceUpTo = p.upTo; p.waiting == nil {
		return nil
	}
	p.toDevice, p.toDeviceUpTo, err = s.ToDevice.Read(ctx, p.waiting)
	return err
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

package transactions

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrixtest"
)

// values are the sums of all metrics, by their names, and of transactions by their outcomes.
func (h *env) values() map[string]float64 {
	h.T.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(h.sending.Collectors()...)
	families, err := registry.Gather()
	h.OK(err)
	sums := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				if label.GetName() == "outcome" {
					name += " " + label.GetValue()
				}
			}
			sums[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sums
}

func TestMetricsTellOfAServiceThatFails(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := start(t, nil, []*registration.Registration{register(t, "irc", p.url)})
	room := h.Public(ghost)
	p.until(h.newest(alice, room))
	p.refuses(500, 1000)
	id := h.Send(alice, room, "one")
	const failing, behind = "homeserver_app_service_failing", "homeserver_app_service_behind_entries"
	matrixtest.Until(t, "the failure is reported", func() bool {
		now := h.values()
		return now[failing] == 1 && now[behind] > 0
	})
	p.recovers()
	p.until(id)
	matrixtest.Until(t, "the end of it is reported", func() bool {
		now := h.values()
		return now[failing] == 0 && now[behind] == 0
	})
	now := h.values()
	if now["homeserver_app_service_transactions_total failed"] < 1 || now["homeserver_app_service_transactions_total sent"] < 2 {
		t.Errorf("got %v", now)
	}
	if now["homeserver_app_service_events_total"] < 2 {
		t.Errorf("got %v", now)
	}
}

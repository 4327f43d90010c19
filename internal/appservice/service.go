package appservice

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/auth/secret"
	"homeserver/internal/gauge"
	"homeserver/internal/httpapi/ratelimit"
	"homeserver/internal/matrix"
)

// Options has all that a Service needs.
type Options struct {
	// Registrations are the services that there are.
	Registrations registration.List
	// ActAs returns the session of a user, who must exist, and of a device, if one is named.
	ActAs func(ctx context.Context, service, userID, deviceID string) (matrix.Session, error)
	// MakeUser makes an account without a password, unless there is one already.
	MakeUser func(ctx context.Context, userID string) error
	// Existing returns those of the users who exist.
	Existing func(ctx context.Context, userIDs []string) ([]string, error)
	// Limits bounds how often services are asked for callers; nil: there are no limits.
	Limits *ratelimit.Limits
	// Patience is how long a service may take to answer what somebody waits for; 0: as long as
	// is usual for each call.
	Patience time.Duration
	Log      *slog.Logger     // nil: the default one
	Now      func() time.Time // nil: time.Now
}

// patience returns how long a call may take that may usually take so long.
func (o *Options) patience(usual time.Duration) time.Duration { return cmp.Or(o.Patience, usual) }

// Service knows the application services. It may be used concurrently.
type Service struct {
	o        Options
	byToken  map[secret.Hash]*registration.Registration
	byID     map[string]*registration.Registration
	peers    map[string]*peer // by the IDs of services
	requests *prometheus.CounterVec
	onCall   func(id string)
	onReach  func(id string)
	calls    *calls
	// protocols are the descriptions of third-party networks.
	protocols *protocols
	queries   *gauge.Gauge // that wait for services
}

// New makes a Service of services that go together: see [registration.Load].
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{
		o: o, byToken: map[secret.Hash]*registration.Registration{}, byID: map[string]*registration.Registration{},
		protocols: &protocols{known: map[protocolKey]description{}},
		queries:   gauge.New(gauge.Options{Total: maxQueries, Each: maxQueriesEach}),
		peers:     map[string]*peer{}, calls: newCalls(o.Registrations),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "homeserver_app_service_requests_total",
			Help: "Requests that came with the token of an application service, by its ID.",
		}, []string{"app_service"}),
		onCall: func(string) {}, onReach: func(string) {},
	}
	for _, r := range o.Registrations {
		s.byToken[secret.HashOf(string(r.ASToken))] = r
		s.byID[r.ID] = r
		s.peers[r.ID] = newPeer(r.URL, o.Now)
		s.requests.WithLabelValues(r.ID)
	}
	return s
}

// OnCall sets the function that is called, with the ID of a service, when that has called this
// server. It must be quick. Call OnCall before requests are served.
func (s *Service) OnCall(f func(id string)) { s.onCall = f }

// OnReach sets the function that is called, with the ID of a service, when that has answered a
// ping. It must be quick. Call OnReach before requests are served.
func (s *Service) OnReach(f func(id string)) { s.onReach = f }

// Start makes the users of the services that are not there yet.
func (s *Service) Start(ctx context.Context) error {
	for _, r := range s.o.Registrations {
		if err := s.o.MakeUser(ctx, r.Sender); err != nil {
			return fmt.Errorf("make the user of the application service %s: %w", r.ID, err)
		}
	}
	return nil
}

// Collectors returns the metrics, to be registered once.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.requests, s.calls.total, s.calls.seconds}
}

// Registrations returns all services, in the order of the configuration. A nil Service has none.
func (s *Service) Registrations() registration.List {
	if s == nil {
		return nil
	}
	return s.o.Registrations
}

// ByID returns the service with an ID; nil if there is none.
func (s *Service) ByID(id string) *registration.Registration { return s.byID[id] }

// ByToken returns the service whose as_token it is; the zero value if it is nobody's. The
// hash of the token is looked up, whose bytes say nothing about those of the token.
func (s *Service) ByToken(token string) matrix.AppService {
	if len(s.byToken) == 0 {
		return matrix.AppService{}
	}
	r := s.byToken[secret.HashOf(token)]
	if r == nil {
		return matrix.AppService{}
	}
	s.requests.WithLabelValues(r.ID).Inc()
	s.onCall(r.ID)
	return matrix.AppService{ID: r.ID, Sender: r.Sender, Unlimited: !r.RateLimited}
}

// ActAs returns the session of a user and a device of a service; "" for the user: its sender;
// "" for the device: none. M_FORBIDDEN for a user who is not the service's, or does not exist;
// M_USER_DEACTIVATED, M_UNKNOWN_DEVICE. Application Service API, "Identity assertion".
func (s *Service) ActAs(ctx context.Context, service matrix.AppService, userID, deviceID string) (matrix.Session, error) {
	r := s.byID[service.ID]
	if userID == "" {
		userID = r.Sender
	}
	if !r.OwnsUser(userID) {
		return matrix.Session{}, matrix.Errorf(matrix.Forbidden, "the application service can't act as this user, who is not in its namespaces")
	}
	return s.o.ActAs(ctx, r.ID, userID, deviceID)
}

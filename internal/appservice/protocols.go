package appservice

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"homeserver/internal/appservice/registration"
	"homeserver/internal/matrix"
)

const (
	// protocolTime is how long the description of a network is used before its service is asked
	// again, and missingTime the same where it has given none.
	protocolTime = 5 * time.Minute
	missingTime  = 30 * time.Second
)

// Protocol describes a network, as its services do. Client-server API, "Third-party Networks".
type Protocol map[string]json.RawMessage

// protocols are the descriptions that services have given.
type protocols struct {
	mu    sync.Mutex
	known map[protocolKey]description
}

type protocolKey struct{ service, protocol string }

// description is what a service has said of a network; nil: nothing, when it was asked.
type description struct {
	Protocol
	until time.Time
}

// Protocols describes all networks by their protocols. Where several services have the same, the
// first describes it, and all add their instances. A service that does not answer in time
// adds what it said before. GET /thirdparty/protocols.
func (s *Service) Protocols(ctx context.Context) (map[string]Protocol, error) {
	return s.describe(ctx, func(string) bool { return true })
}

// Protocol describes one network. M_NOT_FOUND. GET /thirdparty/protocol/{protocol}.
func (s *Service) Protocol(ctx context.Context, protocol string) (Protocol, error) {
	all, err := s.describe(ctx, func(name string) bool { return name == protocol })
	if err != nil {
		return nil, err
	}
	if all[protocol] == nil {
		return nil, matrix.Errorf(matrix.NotFound, "there is no such third-party network")
	}
	return all[protocol], nil
}

// describe refreshes the descriptions that have become old, all at once, and merges those that
// are wanted.
func (s *Service) describe(ctx context.Context, wanted func(protocol string) bool) (map[string]Protocol, error) {
	if err := s.refresh(ctx, wanted); err != nil {
		return nil, err
	}
	s.protocols.mu.Lock()
	defer s.protocols.mu.Unlock()
	all := map[string]Protocol{}
	instances := map[string][]json.RawMessage{}
	for _, r := range s.o.Registrations {
		for _, name := range r.Protocols {
			said := s.protocols.known[protocolKey{r.ID, name}].Protocol
			if said == nil || !wanted(name) {
				continue
			}
			if all[name] == nil {
				all[name] = said
			}
			instances[name] = append(instances[name], instancesOf(r.ID, said)...)
		}
	}
	for name, first := range all {
		merged := Protocol{}
		for key, value := range first {
			merged[key] = value
		}
		encoded, err := json.Marshal(append([]json.RawMessage{}, instances[name]...))
		if err != nil {
			return nil, fmt.Errorf("encode the instances of a network: %w", err)
		}
		merged["instances"] = encoded
		all[name] = merged
	}
	return all, nil
}

// refresh asks for the descriptions that are wanted and not fresh.
func (s *Service) refresh(ctx context.Context, wanted func(protocol string) bool) error {
	type question struct {
		r    *registration.Registration
		name string
	}
	var old []question
	s.protocols.mu.Lock()
	for _, r := range s.o.Registrations {
		for _, name := range r.Protocols {
			if r.URL != "" && wanted(name) && s.o.Now().After(s.protocols.known[protocolKey{r.ID, name}].until) {
				old = append(old, question{r, name})
			}
		}
	}
	s.protocols.mu.Unlock()
	if len(old) == 0 {
		return nil
	}
	caller := matrix.Caller(ctx)
	if err := s.queries.TryEnter(caller, 1); err != nil {
		return err
	}
	defer s.queries.Leave(caller, 1)
	ctx, cancel := context.WithTimeout(ctx, s.o.patience(lookupTimeout))
	defer cancel()
	var asking errgroup.Group
	asking.SetLimit(lookupsAtOnce)
	for _, q := range old {
		asking.Go(func() error {
			s.learn(ctx, q.r, q.name)
			return nil
		})
	}
	return asking.Wait()
}

// learn asks a service for its description of a network, and keeps it.
func (s *Service) learn(ctx context.Context, r *registration.Registration, name string) {
	var said Protocol
	body, ok := s.thirdParty(ctx, r, "/thirdparty/protocol/"+url.PathEscape(name), nil)
	if ok && json.Unmarshal(body, &said) != nil {
		s.o.Log.WarnContext(ctx, "an application service has described a network by no object", "app_service", r.ID, "protocol", name)
	}
	s.protocols.mu.Lock()
	defer s.protocols.mu.Unlock()
	key := protocolKey{r.ID, name}
	now := description{said, s.o.Now().Add(protocolTime)}
	if said == nil {
		now = description{s.protocols.known[key].Protocol, s.o.Now().Add(missingTime)}
	}
	s.protocols.known[key] = now
}

// instancesOf returns the instances in a service's description, each with an ID that no other
// service has: see [Service.Network]. Those without a network_id are left out.
func instancesOf(service string, said Protocol) []json.RawMessage {
	var list []map[string]json.RawMessage
	if json.Unmarshal(said["instances"], &list) != nil {
		return nil
	}
	var complete []json.RawMessage
	for _, one := range list {
		var network string
		if json.Unmarshal(one["network_id"], &network) != nil || network == "" {
			continue
		}
		id, err := json.Marshal(service + instanceSeparator + network)
		if err != nil {
			continue
		}
		one["instance_id"] = id
		if encoded, err := json.Marshal(one); err == nil {
			complete = append(complete, encoded)
		}
	}
	return slices.Clip(complete)
}

// instanceSeparator stands between the ID of a service and that of a network.
const instanceSeparator = "|"

// Network returns the service and the network of an instance_id that this server has given out;
// "" for another. IDs of services may have the separator in them: the longest that fits counts.
func (s *Service) Network(instanceID string) (service, network string) {
	for _, r := range s.Registrations() {
		name, ok := strings.CutPrefix(instanceID, r.ID+instanceSeparator)
		if ok && name != "" && len(r.ID) > len(service) {
			service, network = r.ID, name
		}
	}
	return service, network
}

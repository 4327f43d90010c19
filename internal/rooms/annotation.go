package rooms

import (
	"bytes"
	"context"
	"sync"

	"homeserver/internal/event"
	"homeserver/internal/matrix"
	"homeserver/internal/rooms/timeline"
)

// claimAnnotation claims an annotation until release is called: another request with the same
// annotation waits, and then finds it. The draft of one that the sender has made before is
// refused, if the rules of the room allow it. Other events cost nothing. Client-server API,
// "Avoiding duplicate annotations".
func (s *Service) claimAnnotation(ctx context.Context, roomID string, d *draft) (release func(), err error) {
	a, ok := timeline.AnnotationOf(relatedContent(d.content), d.sender, d.typ)
	if !ok {
		return func() {}, nil
	}
	if release, err = s.annotating.take(ctx, claim{roomID, a}); err != nil {
		return nil, err
	}
	annotated, err := s.Timeline.IsAnnotated(ctx, roomID, a)
	if err != nil {
		release()
		return nil, err
	}
	if annotated {
		d.refusal = errAnnotated()
	}
	return release, nil
}

// relatedContent returns content in canonical form, where it may have a relation; nil: it has
// none. Content that has no such form is refused when the event is built.
func relatedContent(content []byte) []byte {
	if !bytes.Contains(content, []byte(`m.relates_to`)) && !bytes.Contains(content, []byte(`\u`)) {
		return nil
	}
	canonical, err := event.Canonical(content, false)
	if err != nil {
		return nil
	}
	return canonical
}

func errAnnotated() error {
	return matrix.Errorf(matrix.DuplicateAnnotation, "you have annotated this event so before")
}

// claim is an annotation of an event of a room.
type claim struct {
	roomID string
	timeline.Annotation
}

// claims are held by one request each. The zero value has none.
type claims struct {
	mu   sync.Mutex
	held map[claim]chan struct{} // closed when it is released
}

// take takes a claim as soon as nobody holds it.
func (c *claims) take(ctx context.Context, of claim) (release func(), err error) {
	for {
		c.mu.Lock()
		other := c.held[of]
		if other == nil {
			break // with the lock
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[claim]chan struct{}{}
	}
	mine := make(chan struct{})
	c.held[of] = mine
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, of)
		close(mine)
	}, nil
}

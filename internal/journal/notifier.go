package journal

import "sync"

// notifier wakes the listeners that follow the topics of what was committed. The cost
// of a wake-up grows with the listeners of its topics, never with the users who could
// listen.
type notifier struct {
	mu        sync.Mutex
	listeners map[Topic]map[*Listener]struct{}
}

// Listener is woken whenever something is committed on a topic that it
// follows. One serves any number of waiters. Its methods may be called
// concurrently.
type Listener struct {
	n      *notifier
	topics map[Topic]struct{}
	woken  chan struct{}
	closed bool
}

func (n *notifier) listen() *Listener {
	return &Listener{n: n, topics: map[Topic]struct{}{}, woken: make(chan struct{})}
}

// Follow adds a topic. A closed listener follows nothing.
func (l *Listener) Follow(t Topic) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	if _, ok := l.topics[t]; ok || l.closed {
		return
	}
	l.topics[t] = struct{}{}
	if l.n.listeners[t] == nil {
		l.n.listeners[t] = map[*Listener]struct{}{}
	}
	l.n.listeners[t][l] = struct{}{}
}

// Unfollow ends the following of a topic.
func (l *Listener) Unfollow(t Topic) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.unfollow(t)
}

func (l *Listener) unfollow(t Topic) {
	delete(l.topics, t)
	delete(l.n.listeners[t], l)
	if len(l.n.listeners[t]) == 0 {
		delete(l.n.listeners, t)
	}
}

// Woken returns a channel that is closed at the next wake-up. Call it before reading
// the journal, then wait on the channel: no wake-up is lost between. The channel of a
// closed listener is closed.
func (l *Listener) Woken() <-chan struct{} {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	return l.woken
}

// Close forgets all topics and wakes all who wait, now or later.
func (l *Listener) Close() {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	for t := range l.topics {
		l.unfollow(t)
	}
	close(l.woken)
}

func (l *Listener) wake() {
	close(l.woken)
	l.woken = make(chan struct{})
}

// wake wakes each listener to any of the topics once.
func (n *notifier) wake(topics map[Topic]struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	woken := map[*Listener]struct{}{}
	for t := range topics {
		wakeOnce(n.listeners[t], woken)
	}
}

// wakeAll wakes all listeners: the topics of what was committed are not known.
func (n *notifier) wakeAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	woken := map[*Listener]struct{}{}
	for _, listeners := range n.listeners {
		wakeOnce(listeners, woken)
	}
}

func wakeOnce(listeners, woken map[*Listener]struct{}) {
	for l := range listeners {
		if _, done := woken[l]; !done {
			woken[l] = struct{}{}
			l.wake()
		}
	}
}

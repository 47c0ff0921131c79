// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// When a subscription is taken for dead, and how often it is opened anew.
const (
	silence    = 5 * time.Second // without a message, until a ping; and again, until it is dead
	attempts   = 3
	firstPause = 50 * time.Millisecond
)

// ears listen to messages, and keep what they name until somebody takes it. They hold a
// bounded set of names, however fast messages come.
type ears struct {
	store *Store
	open  chan struct{} // closed with the first subscription
	news  chan struct{} // told when there is something to take

	mu      sync.Mutex
	heard   news
	opened  bool
	trouble int // attempts since the last subscription
}

// news is what messages have said.
type news struct {
	names map[string]struct{}
	all   bool // too many to name
	gap   bool // something may have been missed
	count int  // of messages
	first int64
	last  stamp
}

func newEars(s *Store) *ears {
	return &ears{store: s, open: make(chan struct{}), news: make(chan struct{}, 1)}
}

// take is what was heard since the last take.
func (e *ears) take() news {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.heard
	e.heard = news{}
	return n
}

// tell has somebody take. e.mu is held.
func (e *ears) tell() {
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// listen subscribes until ctx ends, the first attempt fails, or later several in a
// row.
func (e *ears) listen(ctx context.Context) error {
	for {
		err := e.subscribe(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e.mu.Lock()
		e.trouble++
		trouble, opened := e.trouble, e.opened
		e.mu.Unlock()
		if !opened || trouble >= attempts {
			return err
		}
		pause := firstPause << trouble
		sleep(ctx, pause/2+rand.N(pause)) //nolint:gosec // no secret
	}
}

// subscribe holds one subscription until it breaks.
func (e *ears) subscribe(ctx context.Context) error {
	sub := e.store.client.Subscribe(ctx)
	var once sync.Once
	end := func() { once.Do(func() { _ = sub.Close() }) } // it is given up, whatever Close says
	defer end()
	defer context.AfterFunc(ctx, end)() // Receive does not look at ctx while it reads
	if err := sub.Subscribe(ctx, e.store.channel()); err != nil {
		return err
	}
	for asked := false; ; {
		message, err := sub.ReceiveTimeout(ctx, silence)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		asked = false
		e.receive(message)
	}
}

// receive notes what Redis has sent.
func (e *ears) receive(message any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch m := message.(type) {
	case *redis.Subscription:
		if m.Kind != "subscribe" {
			return
		}
		e.trouble = 0
		if !e.opened {
			e.opened = true
			close(e.open)
			return
		}
		e.heard.gap = true
		e.tell()
	case *redis.Message:
		e.note(m.Payload)
		e.tell()
	}
}

// note keeps a message. e.mu is held.
func (e *ears) note(payload string) {
	n := &e.heard
	n.count++
	name, at, err := parse(payload)
	if err != nil || !e.store.ours(name) {
		n.gap = true // whatever it means, it is worth a look
		return
	}
	if at.version > 0 {
		if n.last.version > 0 && at.version != n.last.version+1 {
			n.gap = true
		}
		if n.first == 0 {
			n.first = at.version
		}
		n.last = at
	}
	if n.names == nil {
		n.names = make(map[string]struct{})
	}
	if len(n.names) >= maxPending {
		n.all = true
		return
	}
	n.names[name] = struct{}{}
}

// parse reads "<version> <entry> <name>", or the name alone, which other programs say.
func parse(payload string) (string, stamp, error) {
	number, rest, ok := strings.Cut(payload, " ")
	version, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return payload, stamp{}, nil //nolint:nilerr // it begins with no number: it is a name
	}
	entry, name, ok := strings.Cut(rest, " ")
	if !ok || version <= 0 {
		return "", stamp{}, fmt.Errorf("message %.40q", payload)
	}
	return name, stamp{version: version, entry: entry, present: true}, nil
}

// ours reports whether the name is one that a watcher looks at.
func (s *Store) ours(name string) bool {
	if key, ok := strings.CutPrefix(name, s.o.Prefix); ok {
		return key != "" && len(key) <= maxKey
	}
	group, ok := strings.CutPrefix(name, s.o.Meta)
	return ok && (group == groups[0] || group == groups[1] || group == groups[2])
}

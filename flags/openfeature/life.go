// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package openfeature

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
)

// pulse is how often the provider looks whether the source can be had.
const pulse = time.Second

// life is what goes on between Init and Shutdown.
type life struct {
	// events is never closed: whoever reads it may outlive a Shutdown, and the provider
	// may be initialised again.
	events chan of.Event

	mu   sync.Mutex
	ctx  context.Context //nolint:containedctx // it is a Shutdown, and has no other owner
	stop context.CancelFunc
	run  *run
}

// run is the goroutines of one life.
type run struct {
	group sync.WaitGroup
}

// errShutdown is why an initialisation ends that was overtaken.
var errShutdown = errors.New("the provider was shut down")

// EventChannel carries PROVIDER_CONFIGURATION_CHANGED with the keys of the flags that did,
// PROVIDER_STALE when the source cannot be had, and PROVIDER_READY when it can again. The
// first PROVIDER_READY is the SDK's own, after initialisation.
func (p *Provider) EventChannel() <-chan of.Event { return p.life.events }

// Init is InitWithContext without an end.
func (p *Provider) Init(who of.EvaluationContext) error {
	return p.InitWithContext(context.Background(), who)
}

// InitWithContext waits until the client has flags, of its source or of its cache, and
// starts to send events. It fails when ctx ends before, or the provider is shut down. To
// call it again while it is initialised only waits.
func (p *Provider) InitWithContext(ctx context.Context, _ of.EvaluationContext) error {
	alive := p.begin()
	waiting, done := context.WithCancelCause(ctx)
	defer done(nil)
	defer context.AfterFunc(alive, func() { done(errShutdown) })()
	if !p.client.Status().Cached { // what is in the cache is served at once, as stale
		if err := p.client.Wait(waiting); err != nil {
			return err
		}
	}
	p.watch(alive)
	return nil
}

// begin is the context of the life that there is, or of a new one.
func (p *Provider) begin() context.Context {
	p.life.mu.Lock()
	defer p.life.mu.Unlock()
	if p.life.stop == nil {
		p.life.ctx, p.life.stop = context.WithCancel(context.Background())
	}
	return p.life.ctx
}

// watch starts the goroutines that send events, once in a life.
func (p *Provider) watch(alive context.Context) {
	p.life.mu.Lock()
	defer p.life.mu.Unlock()
	if alive.Err() != nil || p.life.run != nil {
		return
	}
	r := new(run)
	p.life.run = r
	r.group.Go(func() { p.tellChanges(alive) })
	r.group.Go(func() { p.tellHealth(alive) })
}

// Shutdown is ShutdownWithContext without an end.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext ends the events and waits for the provider's goroutines, or for ctx. The
// client goes on, and so do evaluations. It may be called at any time and any
// number of times.
func (p *Provider) ShutdownWithContext(ctx context.Context) error {
	p.life.mu.Lock()
	stop, r := p.life.stop, p.life.run
	p.life.stop, p.life.run = nil, nil
	p.life.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	if r == nil {
		return nil
	}
	gone := make(chan struct{})
	go func() {
		r.group.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("openfeature: shutdown: %w", context.Cause(ctx))
	}
}

// tellChanges sends an event each time that flags have changed.
func (p *Provider) tellChanges(ctx context.Context) {
	for keys := range p.client.Updates(ctx) {
		if !p.send(ctx, of.ProviderConfigChange, of.ProviderEventDetails{Message: "flags have changed", FlagChanges: keys}) {
			return
		}
	}
}

// tellHealth sends an event when the source is lost and when it is back.
func (p *Provider) tellHealth(ctx context.Context) {
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	stale := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		status := p.client.Status()
		if now := status.Err != nil || status.Cached; now == stale {
			continue
		}
		stale = !stale
		event, details := of.ProviderReady, of.ProviderEventDetails{Message: "the source of the flags is back"}
		if stale {
			// The error stays with the client, which reports it: an address or a
			// name in it is not for every listener.
			event, details.Message = of.ProviderStale, "the source of the flags cannot be had; the last known are served"
		}
		if !p.send(ctx, event, details) {
			return
		}
	}
}

// send hands an event to the SDK, and is false when the provider is shut down first.
func (p *Provider) send(ctx context.Context, event of.EventType, details of.ProviderEventDetails) bool {
	select {
	case p.life.events <- of.Event{ProviderName: name, EventType: event, ProviderEventDetails: details}:
		return true
	case <-ctx.Done():
		return false
	}
}

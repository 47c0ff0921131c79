// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// turn holds one service's object for as long as one turn of a Controller takes, so that
// the state, the spec and the intent in it are read once and not three times. It saves
// calls and decides nothing: a save carries the resourceVersion of what is held.
type turn struct {
	mu      sync.Mutex
	service string
	held    *unstructured.Unstructured
}

type turnKey struct{ store *Store }

// withTurn begins a turn.
func withTurn(ctx context.Context, s *Store) context.Context {
	return context.WithValue(ctx, turnKey{s}, &turn{})
}

// turnOf is the turn under way, nil outside of one.
func turnOf(ctx context.Context, s *Store) *turn {
	t, _ := ctx.Value(turnKey{s}).(*turn)
	return t
}

func (t *turn) object(service string) *unstructured.Unstructured {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.service != service {
		return nil
	}
	return t.held
}

// hold keeps the object as it was read or written last. Nobody changes it afterwards.
func (t *turn) hold(service string, object *unstructured.Unstructured) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.service, t.held = service, object
}

func (t *turn) forget() { t.hold("", nil) }

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
)

// Remove deletes an object that the router has made, and with it the fence: no runner may
// be left that still turns it. One that carries traffic is left, with an error, and so is
// one that has accepted a higher fence than this. What the router has not made, and an
// object that it found there, is errors.ErrUnsupported; one that is not there is no error.
func (r *Router) Remove(ctx context.Context, fence uint64) error {
	if err := r.remove(ctx, fence); err != nil {
		return fmt.Errorf("kube: remove %v: %w", r.object, err)
	}
	return nil
}

func (r *Router) remove(ctx context.Context, fence uint64) error {
	maker, ok := r.codec.(Maker)
	if !ok {
		return fmt.Errorf("it is not the router's own: %w", errors.ErrUnsupported)
	}
	pause := firstPause
	for try := 1; ; try++ {
		c := once(Live(r.client))
		have, rec, err := r.look(ctx, c)
		if err != nil || have == nil {
			return err
		}
		if have.GetAnnotations()[kube.Fence] == "" {
			return fmt.Errorf("it was made by somebody else: %w", errors.ErrUnsupported)
		}
		if fence < rec.Fence {
			return fmt.Errorf("under fence %d after %d: %w", fence, rec.Fence, traffic.ErrFenced)
		}
		idle, err := maker.Idle(ctx, c, have)
		if err != nil {
			return err
		}
		if !idle {
			return fmt.Errorf("it carries traffic: %q", rec.Route)
		}
		uid, version := have.GetUID(), have.GetResourceVersion()
		err = r.client.Resource(r.object.Resource).Namespace(r.object.Namespace).Delete(ctx, r.object.Name,
			metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
		switch {
		case err == nil || apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err) && !kube.Passing(err):
			return fmt.Errorf("delete: %w", err)
		case try == tries || !sleep(ctx, pause):
			return fmt.Errorf("delete: %w (%w)", traffic.ErrConflict, err)
		}
		pause = min(2*pause, lastPause)
	}
}

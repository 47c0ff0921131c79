// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	internal "github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

// Target is an object of a cluster and the router of it.
type Target struct {
	// Config is how a client comes to the API server.
	Config *rest.Config
	// Object is what the router turns. It exists, unless the router makes it.
	Object kube.Object
	// Router makes an instance.
	Router func(client dynamic.Interface) (traffic.Router, error)
	// Write changes the object as another tool would, so that it says the route.
	Write func(o *unstructured.Unstructured, r traffic.Route) error
	// Forget removes from an object what is the route's.
	Forget func(o *unstructured.Unstructured)
	// Others are what else must stay as it is.
	Others []kube.Object
	// Arms are those of the subject.
	Arms traffic.Arms
	// Settle is the subject's.
	Settle time.Duration
}

// Subject is the target for traffictest. Nothing is sent: no data plane stands behind it.
func (x Target) Subject(t *testing.T) traffictest.Subject {
	t.Helper()
	f := &faults{}
	client := x.client(t, f)
	direct := x.client(t, nil)
	instance := func(context.Context) (traffic.Router, error) { return x.Router(client) }
	router, err := x.Router(client)
	if err != nil {
		t.Fatal(err)
	}
	s := traffictest.Subject{
		Router: router, Arms: x.Arms, Settle: x.Settle,
		Another: instance,
		Foreign: func(ctx context.Context, r traffic.Route, writer string) error {
			return Edit(ctx, direct, x.Object, writer, func(o *unstructured.Unstructured) error { return x.Write(o, r) })
		},
		Rest:  func(ctx context.Context) (string, error) { return x.rest(ctx, direct) },
		Break: f.set,
	}
	s.Restart = func(ctx context.Context) (traffictest.Subject, error) {
		next := s
		next.Router, err = instance(ctx)
		return next, err
	}
	return s
}

func (x Target) client(t *testing.T, f *faults) dynamic.Interface {
	t.Helper()
	c := rest.CopyConfig(x.Config)
	c.QPS = -1
	if f != nil {
		c.Wrap(func(next http.RoundTripper) http.RoundTripper { return &faulty{f, next} })
	}
	return Client(t, c)
}

// Edit changes an object as the manager would.
func Edit(ctx context.Context, client dynamic.Interface, o kube.Object, manager string, edit func(o *unstructured.Unstructured) error) error {
	objects := client.Resource(o.Resource).Namespace(o.Namespace)
	have, err := objects.Get(ctx, o.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("kubefake: %w", err)
	}
	if err := edit(have); err != nil {
		return err
	}
	if _, err = objects.Update(ctx, have, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("kubefake: %w", err)
	}
	return nil
}

func (x Target) rest(ctx context.Context, client dynamic.Interface) (string, error) {
	var b strings.Builder
	for i, at := range append([]kube.Object{x.Object}, x.Others...) {
		o, err := client.Resource(at.Resource).Namespace(at.Namespace).Get(ctx, at.Name, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("kubefake: %w", err)
		}
		for _, name := range []string{"resourceVersion", "generation", "managedFields"} {
			unstructured.RemoveNestedField(o.Object, "metadata", name)
		}
		for _, name := range []string{internal.Fence, internal.Original} {
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations", name)
		}
		if len(o.GetAnnotations()) == 0 {
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
		}
		if i == 0 {
			x.Forget(o)
		}
		text, err := json.MarshalIndent(o.Object, "", " ")
		if err != nil {
			return "", fmt.Errorf("kubefake: %w", err)
		}
		b.Write(text)
	}
	return b.String(), nil
}

// faults is what is wrong with the way to the API server.
type faults struct {
	mu  sync.Mutex
	now *traffictest.Fault
}

func (f *faults) set(_ context.Context, fault traffictest.Fault) (func(), error) {
	if fault > traffictest.Deaf {
		return nil, errors.ErrUnsupported
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = &fault
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now = nil
	}, nil
}

type faulty struct {
	*faults
	next http.RoundTripper
}

func (f *faulty) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	now := f.now
	f.mu.Unlock()
	if now == nil {
		return f.next.RoundTrip(req)
	}
	switch *now {
	case traffictest.Hanging:
		<-req.Context().Done()
		return nil, req.Context().Err()
	case traffictest.Garbage:
		return &http.Response{
			StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader("welcome to nginx!")),
		}, nil
	case traffictest.Deaf:
		if res, err := f.next.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	case traffictest.Down, traffictest.CandidateHanging, traffictest.CandidateFailing:
	}
	return nil, errors.New("the connection is refused")
}

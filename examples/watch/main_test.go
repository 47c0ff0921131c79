// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "%s"}]
`

// screen is what is printed.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestWhatIsDeployedBadlyIsTakenBackOnce(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	namespace := cluster.Namespace(t)
	var errorShare atomic.Value
	errorShare.Store("0.01")
	stats := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"value": %s}`, errorShare.Load())
	}))
	defer stats.Close()
	ctx, stop := context.WithCancel(t.Context())
	var out screen
	done := make(chan error, 1)
	deploy := func(image, want string) {
		t.Helper()
		before := len(out.String())
		cluster.Apply(t, fmt.Sprintf(manifest, namespace, image))
		deadline := time.Now().Add(2 * time.Minute)
		for !strings.Contains(out.String()[before:], want) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: want %q:\n%s", image, want, out.String())
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	go func() {
		done <- run(ctx, []string{
			"-kubeconfig", cluster.Kubeconfig(), "-n", namespace, "-check", stats.URL,
			"-every", "100ms", "-returns", "2", "-for", "2s", "-stuck", "5s", "deployment/web",
		}, &out)
	}()
	deploy("web:1", ", passed: ")
	deploy("web:broken", ", rolledBack: ")
	errorShare.Store("0.4")
	deploy("web:2", ", rolledBack: ")
	if said := out.String(); !strings.Contains(said, "0.4") {
		t.Errorf("it does not say what the check found:\n%s", said)
	}
	deploy("web:3", ", refused: ") // the third within an hour
	errorShare.Store("0.01")
	deploy("web:4", ", passed: ")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeMeantIsSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"web"}, {"deployment/web", "now"}, {"-most", "x", "deployment/web"}} {
		if err := run(t.Context(), args, &screen{}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%v was understood: %v", args, err)
		}
	}
}

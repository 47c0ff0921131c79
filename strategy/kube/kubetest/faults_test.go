// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// fakeServer answers everything with an object, and remembers what it was asked.
type fakeServer struct {
	mu    sync.Mutex
	asked []string
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}`)
}

func (s *fakeServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// faulty is a client of a fake server, through the faults.
func faulty(t *testing.T, f *kubetest.Faults) (dynamic.NamespaceableResourceInterface, *fakeServer) {
	t.Helper()
	fake := &fakeServer{}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, QPS: -1}
	config.Wrap(f.Wrap)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(configMaps), fake
}

func patch(ctx context.Context, client dynamic.ResourceInterface) error {
	_, err := client.Patch(ctx, "a", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	return err
}

func TestAFaultLooksLikeWhatAServerSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rates   kubetest.Rates
		is      func(error) bool
		arrives bool
	}{
		"conflict":    {kubetest.Rates{Conflict: 1}, apierrors.IsConflict, false},
		"invalid":     {kubetest.Rates{Invalid: 1}, apierrors.IsInvalid, false},
		"too many":    {kubetest.Rates{TooMany: 1}, apierrors.IsTooManyRequests, false},
		"internal":    {kubetest.Rates{Internal: 1}, apierrors.IsInternalError, false},
		"unavailable": {kubetest.Rates{Unavailable: 1}, apierrors.IsServiceUnavailable, false},
		"lost":        {kubetest.Rates{Lost: 1}, timedOut, true},
		"dropped":     {kubetest.Rates{Dropped: 1}, timedOut, false},
		"none":        {kubetest.Rates{}, func(err error) bool { return err == nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := &kubetest.Faults{Rates: tt.rates}
			client, server := faulty(t, faults)
			if err := patch(t.Context(), client.Namespace("x")); !tt.is(err) {
				t.Errorf("the client sees %v", err)
			}
			if arrived := server.count() > 0; arrived != tt.arrives {
				t.Errorf("the request arrived: %v, want %v", arrived, tt.arrives)
			}
			if total := faults.Count()[kubetest.Fault(name)]; name != "none" && total != 1 {
				t.Errorf("counted %d of %q, want 1: %q", total, name, faults.Log())
			}
		})
	}
}

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout() && apierrors.ReasonForError(err) == ""
}

func TestAReadIsNeverAConflict(t *testing.T) {
	t.Parallel()
	client, _ := faulty(t, &kubetest.Faults{Rates: kubetest.Rates{Conflict: 0.5, Invalid: 0.5}})
	for range 20 {
		if _, err := client.Namespace("x").Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// The same seed fails the same requests, in a namespace of another name and while other
// requests come in between.
func TestASeedThatFailedFailsAgain(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, namespace string, others bool) (failed []bool) {
		faults := &kubetest.Faults{Seed: seed, Rates: kubetest.Rates{Unavailable: 0.2, Lost: 0.1, Conflict: 0.1}}
		client, _ := faulty(t, faults)
		for range 200 {
			if others {
				_, _ = client.Namespace(namespace).List(t.Context(), metav1.ListOptions{})
			}
			failed = append(failed, patch(t.Context(), client.Namespace(namespace)) != nil)
		}
		return failed
	}
	first := run(1, "one", false)
	if diff := cmp.Diff(first, run(1, "two", true)); diff != "" {
		t.Errorf("the same seed (-first +second):\n%s", diff)
	}
	if slices.Equal(first, run(2, "one", false)) {
		t.Error("another seed fails the same requests")
	}
	count := 0
	for _, f := range first {
		if f {
			count++
		}
	}
	if count < 50 || count > 110 {
		t.Errorf("%d of 200 failed at a rate of 0.4", count)
	}
}

func TestASilentWatchSaysNothingUntilTheFaultsStop(t *testing.T) {
	t.Parallel()
	faults := &kubetest.Faults{Rates: kubetest.Rates{Silent: 1}}
	client, server := faulty(t, faults)
	w, err := client.Namespace("x").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	select {
	case e := <-w.ResultChan():
		t.Fatalf("the watch says %v", e)
	case <-time.After(50 * time.Millisecond):
	}
	if server.count() != 0 {
		t.Error("the watch reached the server")
	}
	faults.Stop()
	faults.Stop() // does no harm
	select {
	case <-w.ResultChan():
	case <-time.After(30 * time.Second):
		t.Fatal("the watch goes on after the faults have stopped")
	}
	if err := patch(t.Context(), client.Namespace("x")); err != nil {
		t.Errorf("after the faults have stopped: %v", err)
	}
}

func TestAWatchThatIsTooOldIsGone(t *testing.T) {
	t.Parallel()
	client, _ := faulty(t, &kubetest.Faults{Rates: kubetest.Rates{Expired: 1}})
	if _, err := client.Watch(t.Context(), metav1.ListOptions{}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a watch sees %v", err)
	}
	if _, err := client.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a list sees %v", err)
	}
}

func TestFaultsKeepToWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	faults := &kubetest.Faults{
		Rates: kubetest.Rates{Internal: 1},
		Only:  func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/b") },
	}
	client, _ := faulty(t, faults)
	if err := patch(t.Context(), client.Namespace("x")); err != nil {
		t.Errorf("a request that the faults are not for: %v", err)
	}
	if _, err := client.Namespace("x").Get(t.Context(), "b", metav1.GetOptions{}); !apierrors.IsInternalError(err) {
		t.Errorf("one that they are for: %v", err)
	}
	if diff := cmp.Diff([]string{"internal: GET /api/v1/namespaces/x/configmaps/b"}, faults.Log()); diff != "" {
		t.Error(diff)
	}
}

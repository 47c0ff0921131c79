// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// A test of something that must get over a server that dies.
func ExampleStart() { //nolint:testableexamples // it needs the T of a test
	var t *testing.T

	cluster := kubetest.Start(t, kubetest.Options{})
	namespace := cluster.Namespace(t)
	cluster.InstallCRDs(t, kubetest.CRDs(t, "istio", "virtualservices", "destinationrules"))
	cluster.Apply(t, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: `+namespace+`}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:2-broken"}]}
`)
	cluster.KillAPIServer(t)
	// …
	cluster.StartAPIServer(t)
	kubetest.Eventually(t, "the end of the rollout", func(ctx context.Context) error {
		return nil // or what is still missing
	})
}

// A write whose reply is lost has been done, and the client cannot know.
func ExampleFaults() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("the server does", r.Method, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap"}`)
	}))
	defer server.Close()

	faults := &kubetest.Faults{Seed: 7, Rates: kubetest.Rates{Lost: 1}}
	config := &rest.Config{Host: server.URL}
	config.Wrap(faults.Wrap)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		panic(err)
	}
	_, err = client.Resource(configMaps).Namespace("x").
		Patch(context.Background(), "a", types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{})
	fmt.Println("the client knows nothing:", err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown)
	fmt.Println(faults.Log())
	// Output:
	// the server does PATCH /api/v1/namespaces/x/configmaps/a
	// the client knows nothing: true
	// [lost: PATCH /api/v1/namespaces/x/configmaps/a]
}

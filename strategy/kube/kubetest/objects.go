// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

var (
	events      = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// manager is the field manager of what this package writes: not that of what is tested.
const manager = "kubetest"

// objectLimit is how long the server may take for one object.
const objectLimit = time.Minute

// Namespace creates a namespace with a name of its own for tb. It is deleted at the end of
// tb, without waiting for what is in it; if tb has failed, its last events are logged first.
func (c *Cluster) Namespace(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), objectLimit)
	defer cancel()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"generateName": nameOf(tb.Name()) + "-"},
	}}
	created, err := c.client.Resource(namespaces).Create(ctx, u, metav1.CreateOptions{FieldManager: manager})
	if err != nil {
		tb.Fatalf("kubetest: creating a namespace: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), objectLimit)
		defer cancel()
		if tb.Failed() {
			tb.Logf("kubetest: the last events in %s:\n%s", created.GetName(), c.lastEvents(ctx, created.GetName()))
		}
		if !c.shared {
			return // it goes with everything else
		}
		if err := c.client.Resource(namespaces).Delete(ctx, created.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			tb.Errorf("kubetest: deleting namespace %s: %v", created.GetName(), err)
		}
	})
	return created.GetName()
}

// lastEvents is what the controllers have said about a namespace, or why it is not known.
func (c *Cluster) lastEvents(ctx context.Context, namespace string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // the server may be dead by now
	defer cancel()
	list, err := c.client.Resource(events).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, e := range list.Items {
		on, _, _ := unstructured.NestedStringMap(e.Object, "involvedObject") // what has another shape is shown empty
		lines = append(lines, fmt.Sprintf("%s %s %s: %v: %v", e.GetCreationTimestamp().UTC().Format(time.TimeOnly), on["kind"], on["name"], e.Object["reason"], e.Object["message"]))
	}
	slices.Sort(lines)
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// Apply makes the objects of one or more YAML documents be as they say, by server-side
// apply, and returns them as the server has them then. An object that says no namespace is
// put into default, if its kind has namespaces. The status is not written.
func (c *Cluster) Apply(tb testing.TB, text string) []*unstructured.Unstructured {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), objectLimit)
	defer cancel()
	objects, err := parse(text)
	if err != nil {
		tb.Fatalf("kubetest: %v", err)
	}
	var applied []*unstructured.Unstructured
	for _, u := range objects {
		resource, namespaced, err := c.resourceOf(ctx, u.GroupVersionKind())
		if err != nil {
			tb.Fatalf("kubetest: %s %s: %v", u.GetKind(), u.GetName(), err)
		}
		if namespaced && u.GetNamespace() == "" {
			u.SetNamespace(metav1.NamespaceDefault)
		}
		out, err := c.client.Resource(resource).Namespace(u.GetNamespace()).
			Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: manager, Force: true})
		if err != nil {
			tb.Fatalf("kubetest: applying %s %s: %v", u.GetKind(), u.GetName(), err)
		}
		applied = append(applied, out)
	}
	return applied
}

// InstallCRDs creates the CustomResourceDefinitions of YAML documents and waits until
// objects of their kinds can be written. Other documents are left out. What is installed
// already is left as it is, so that all tests of a package may ask for it.
func (c *Cluster) InstallCRDs(tb testing.TB, texts ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	var wanted []*unstructured.Unstructured
	for _, text := range texts {
		objects, err := parse(text)
		if err != nil {
			tb.Fatalf("kubetest: %v", err)
		}
		for _, u := range objects {
			if u.GetKind() == "CustomResourceDefinition" {
				wanted = append(wanted, u)
			}
		}
	}
	// One test installs, the others wait for it.
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.install(ctx, wanted); err != nil {
		tb.Fatalf("kubetest: %v", err)
	}
}

// install creates them all before it waits for the first. The caller holds mu.
func (c *Cluster) install(ctx context.Context, wanted []*unstructured.Unstructured) error {
	for _, u := range wanted {
		if c.installed[u.GetName()] {
			continue
		}
		_, err := c.client.Resource(definitions).Create(ctx, u, metav1.CreateOptions{FieldManager: manager})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s: %w", u.GetName(), err)
		}
	}
	for _, u := range wanted {
		if c.installed[u.GetName()] {
			continue
		}
		if err := c.established(ctx, u.GetName()); err != nil {
			return err
		}
		c.installed[u.GetName()] = true
	}
	return nil
}

// established waits until the server says that a definition is, and serves it: the one
// comes a little before the other.
func (c *Cluster) established(ctx context.Context, name string) error {
	return c.poll(ctx, name, func(ctx context.Context) error {
		u, err := c.client.Resource(definitions).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !conditionTrue(u, "Established") {
			return errors.New("it is not established")
		}
		group, _, err := unstructured.NestedString(u.Object, "spec", "group")
		if err != nil {
			return err
		}
		plural, _, err := unstructured.NestedString(u.Object, "spec", "names", "plural")
		if err != nil {
			return err
		}
		versions, _, err := unstructured.NestedSlice(u.Object, "spec", "versions")
		if err != nil {
			return err
		}
		for _, v := range versions {
			v, ok := v.(map[string]any)
			if !ok || v["served"] != true {
				continue
			}
			resource := schema.GroupVersionResource{Group: group, Version: fmt.Sprint(v["name"]), Resource: plural}
			if _, err := c.client.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
				return err
			}
		}
		return nil
	})
}

// resourceOf asks the server under which name a kind is served.
func (c *Cluster) resourceOf(ctx context.Context, kind schema.GroupVersionKind) (_ schema.GroupVersionResource, namespaced bool, _ error) {
	path := "/apis/" + kind.GroupVersion().String()
	if kind.Group == "" {
		path = "/api/" + kind.Version
	}
	raw, err := c.get(ctx, path)
	if err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	var list metav1.APIResourceList
	if err := yaml.Unmarshal(raw, &list); err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	for _, r := range list.APIResources {
		if r.Kind == kind.Kind && !strings.Contains(r.Name, "/") {
			return kind.GroupVersion().WithResource(r.Name), r.Namespaced, nil
		}
	}
	return schema.GroupVersionResource{}, false, fmt.Errorf("the server knows no %s in %s", kind.Kind, kind.GroupVersion())
}

// parse reads YAML documents; empty ones are left out.
func parse(text string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var all []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(all)+1, err)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

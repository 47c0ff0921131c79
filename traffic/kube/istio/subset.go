// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	internal "github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

// tries is how often a DestinationRule is written anew when somebody else was faster.
const tries = 8

// subsets is the DestinationRule of a host.
type subsets struct {
	client dynamic.Interface
	rule   kube.Object
	host   string
	label  string
}

func newSubsets(client dynamic.Interface, namespace string, o Options) *subsets {
	name := o.DestinationRule
	if name == "" {
		name, _, _ = strings.Cut(o.Host, ".")
	}
	return &subsets{client, kube.Object{Resource: resource(o.Version, "destinationrules"), Namespace: namespace, Name: name}, o.Host, o.Label}
}

// labels are those of a subset, and whether there is one.
func labels(rule *unstructured.Unstructured, arm string) (map[string]string, bool) {
	list, _, _ := unstructured.NestedSlice(rule.Object, "spec", "subsets")
	for _, s := range objects(list) {
		if s["name"] == arm {
			found, _, _ := unstructured.NestedStringMap(s, "labels")
			return found, true
		}
	}
	return nil, false
}

// have refuses an arm without a subset: its share would be answered with 503.
func (s *subsets) have(ctx context.Context, c kube.Reader, field, arm string) error {
	rule, err := c.Get(ctx, s.rule)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if _, ok := labels(rule, arm); !ok {
		return fmt.Errorf("%s: %w", field, noSubset{s.rule, arm})
	}
	return nil
}

// noSubset is that an arm has none.
type noSubset struct {
	rule kube.Object
	arm  string
}

func (e noSubset) Error() string {
	return fmt.Sprintf("%v has no subset %q, and its share would be answered with 503; add it, or name its label in options.label", e.rule, e.arm)
}

// backend is the pods of a subset: those of the host's Service that have its labels.
func (s *subsets) backend(ctx context.Context, c kube.Reader, arm string) (kube.Backend, error) {
	rule, err := c.Get(ctx, s.rule)
	if err != nil {
		return kube.Backend{}, fmt.Errorf("subset %q: %w", arm, err)
	}
	pods, ok := labels(rule, arm)
	if !ok {
		return kube.Backend{}, noSubset{s.rule, arm}
	}
	b := service(s.host)
	if b.Namespace == "" {
		b.Namespace = s.rule.Namespace
	}
	o, err := c.Get(ctx, kube.Object{Resource: services, Namespace: b.Namespace, Name: b.Service})
	if err != nil {
		return kube.Backend{}, fmt.Errorf("subset %q: %w", arm, err)
	}
	selects, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector")
	if err != nil {
		return kube.Backend{}, fmt.Errorf("subset %q: service %s: spec.selector: %w", arm, b.Service, err)
	}
	all := maps.Clone(pods)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, selects)
	return kube.Backend{Namespace: b.Namespace, Pods: all}, nil
}

// add gives the DestinationRule the subsets that it lacks.
func (s *subsets) add(ctx context.Context, arms traffic.Arms) error {
	for try := 1; ; try++ {
		rule, err := kube.Live(s.client).Get(ctx, s.rule)
		if err != nil {
			return err
		}
		list, _, err := unstructured.NestedSlice(rule.Object, "spec", "subsets")
		if err != nil {
			return fmt.Errorf("%v: spec.subsets: %w", s.rule, err)
		}
		had := len(list)
		for _, arm := range []string{arms.Stable, arms.Candidate} {
			if _, ok := labels(rule, arm); !ok {
				list = append(list, map[string]any{"name": arm, "labels": map[string]any{s.label: arm}})
			}
		}
		if len(list) == had {
			return nil
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": rule.GetResourceVersion()},
			"spec":     map[string]any{"subsets": list},
		})
		if err != nil {
			return fmt.Errorf("%v: %w", s.rule, err)
		}
		_, err = s.client.Resource(s.rule.Resource).Namespace(s.rule.Namespace).
			Patch(ctx, s.rule.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: internal.Manager})
		switch {
		case err == nil:
			return nil
		case apierrors.IsConflict(err) && try == tries:
			return fmt.Errorf("%v: it was changed each time between being read and being written: %w (%w)", s.rule, traffic.ErrConflict, err)
		case !apierrors.IsConflict(err):
			return fmt.Errorf("%v: %w", s.rule, err)
		}
	}
}

var services = schema.GroupVersionResource{Version: "v1", Resource: "services"}

const local = ".svc.cluster.local"

// service is the Service behind a host, the zero Backend if it is none of the cluster.
func service(host string) kube.Backend {
	if !strings.Contains(host, ".") {
		return kube.Backend{Service: host}
	}
	name, ok := strings.CutSuffix(host, local)
	if !ok {
		return kube.Backend{}
	}
	name, namespace, ok := strings.Cut(name, ".")
	if !ok {
		return kube.Backend{}
	}
	return kube.Backend{Namespace: namespace, Service: name}
}

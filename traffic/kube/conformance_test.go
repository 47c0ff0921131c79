// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func TestACodecOfOnesOwnConforms(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		object := kube.Object{Resource: shares, Namespace: "prod", Name: "web"}
		return kubefake.Target{
			Config: cluster().Config(),
			Object: object,
			Arms:   traffic.Arms{Stable: "web-a", Candidate: "web-b"},
			Router: func(c dynamic.Interface) (traffic.Router, error) {
				return kube.New(c, object, backends{}, kube.Options{})
			},
			Write: func(o *unstructured.Unstructured, r traffic.Route) error {
				return backends{}.Write(t.Context(), nil, o, r)
			},
			Forget: func(o *unstructured.Unstructured) {
				all := list(o)
				for _, b := range all {
					delete(b, "weight")
				}
				items := []any{}
				for _, b := range all {
					if b["service"] != "web-b" {
						items = append(items, b)
					}
				}
				_ = unstructured.SetNestedSlice(o.Object, items, "spec", "backends")
			},
		}.Subject(t)
	})
}

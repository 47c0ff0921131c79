// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"net/http"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

// TestConformanceOnARealAPIServer is against the CRD as it is shipped, whose schema the fake
// does not check; and while replies of writes are lost and writes refused.
func TestConformanceOnARealAPIServer(t *testing.T) {
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true})
	cluster.InstallCRDs(t, kube.CRD())
	cluster.Apply(t, kube.AdmissionPolicy())
	for name, maps := range map[string]bool{"rollouts": false, "configmaps": true} {
		t.Run(name, func(t *testing.T) {
			strategytest.TestStore(t, func(t *testing.T) strategytest.Subject {
				faults := &kubetest.Faults{
					Seed: 7, Rates: kubetest.Rates{Lost: 0.25, Conflict: 0.15, Unavailable: 0.1},
					Only: func(r *http.Request) bool { return r.Method != http.MethodGet }, // who reads asks again
				}
				config := cluster.Config()
				config.Wrap(faults.Wrap)
				client, err := dynamic.NewForConfig(config)
				if err != nil {
					t.Fatal(err)
				}
				return subject(t, client, kube.Options{Namespace: cluster.Namespace(t), Journal: 200, ConfigMaps: maps})
			})
		})
	}
}

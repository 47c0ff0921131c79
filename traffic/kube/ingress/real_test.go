// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress_test

import (
	"strings"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/ingress"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const backend = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ARM, namespace: NS, labels: {kubernetes.io/service-name: ARM}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
`

const canary = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME, namespace: NS, annotations: {team: shop}}
spec:`

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		namespace := c.Namespace(t)
		for _, arm := range []string{"web-a", "web-b"} {
			c.Apply(t, strings.NewReplacer("ARM", arm, "NS", namespace).Replace(backend))
		}
		made := func(name, spec string) string {
			return strings.NewReplacer("NAME", name, "NS", namespace).Replace(canary) + strings.ReplaceAll(spec, "\n", "\n  ")
		}
		c.Apply(t, made("web", spec))
		c.Apply(t, strings.Replace(made("web-candidate", canarySpec), "team: shop", prefix+`canary: "true", `+prefix+`canary-weight: "0"`, 1))
		return kubefake.Target{
			Config: c.Config(), Arms: arms,
			Object: kube.Object{Resource: ingresses, Namespace: namespace, Name: "web-candidate"},
			Router: func(c dynamic.Interface) (traffic.Router, error) {
				return ingress.New(c, namespace, "web", ingress.Options{})
			},
			Write: turn, Forget: forget,
			Others: []kube.Object{{Resource: ingresses, Namespace: namespace, Name: "web"}},
		}.Subject(t)
	})
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour_test

import (
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const backend = `
apiVersion: v1
kind: Service
metadata: {name: ARM, namespace: NS}
spec: {clusterIP: None, ports: [{port: 80}], selector: {app: ARM}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ARM, namespace: NS, labels: {kubernetes.io/service-name: ARM}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]
`

const turned = `
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: web, namespace: NS}
spec: {virtualhost: {fqdn: shop.example.com}, routes: [{services: [{name: web-a, port: 80}]}]}
`

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	c.InstallCRDs(t, kubetest.CRDs(t, "contour", "httpproxies"))
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		namespace := c.Namespace(t)
		for _, arm := range []string{"web-a", "web-b"} {
			c.Apply(t, strings.NewReplacer("ARM", arm, "NS", namespace).Replace(backend))
		}
		c.Apply(t, strings.ReplaceAll(turned, "NS", namespace))
		return subject(t, c.Config(), namespace)
	})
}

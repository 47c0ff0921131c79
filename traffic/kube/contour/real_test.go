// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package contour_test

import (
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

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
		namespace := kubefake.Namespace(t, c, "web-a", "web-b")
		c.Apply(t, strings.ReplaceAll(turned, "NS", namespace))
		return subject(t, c.Config(), namespace)
	})
}

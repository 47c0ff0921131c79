// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traefik_test

import (
	"os"
	"strings"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/traefik"
	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

const turned = `
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: web, namespace: NS}
spec: {weighted: {services: [{name: web-a, port: 80, passHostHeader: true}]}}
`

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	crd, err := os.ReadFile("testdata/crd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.InstallCRDs(t, string(crd))
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		namespace := kubefake.Namespace(t, c, "web-a", "web-b")
		c.Apply(t, strings.ReplaceAll(turned, "NS", namespace))
		return kubefake.Target{
			Config: c.Config(), Arms: arms,
			Object: kube.Object{Resource: traefikservices, Namespace: namespace, Name: "web"},
			Router: func(c dynamic.Interface) (traffic.Router, error) {
				return traefik.New(c, namespace, "web", traefik.Options{})
			},
			Write: turn, Forget: forget,
		}.Subject(t)
	})
}

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

const canary = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: NAME, namespace: NS, annotations: {team: shop}}
spec:`

func TestOnARealAPIServer(t *testing.T) {
	c := kubetest.Start(t, kubetest.Options{APIOnly: true})
	traffictest.Run(t, func(t *testing.T) traffictest.Subject {
		namespace := kubefake.Namespace(t, c, "web-a", "web-b")
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

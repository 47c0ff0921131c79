// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
)

func TestAnOwnerIsToldWhatToLeaveAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		owner kube.Owner
		kind  schema.GroupKind
		want  string
	}{
		{
			kube.Owner{System: "Argo CD", Name: "shop"},
			schema.GroupKind{Kind: "Service"},
			`in the Application shop:
spec:
  ignoreDifferences:
  - kind: Service
    namespace: prod
    name: web
    jsonPointers:
    - /spec/selector/version
    - /metadata/annotations/rheostat.dev~1fence
  syncPolicy:
    syncOptions:
    - RespectIgnoreDifferences=true
`,
		},
		{
			kube.Owner{System: "Flux", Name: "Kustomization flux-system/apps"},
			schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"},
			`in the Kustomization flux-system/apps (kustomize-controller 1.10 knows spec.ignore; without it, annotate the object in Git with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent):
spec:
  ignore:
  - paths:
    - /spec/selector/version
    - /metadata/annotations/rheostat.dev~1fence
    target:
      group: networking.istio.io
      kind: VirtualService
      name: web
      namespace: prod
`,
		},
		{
			kube.Owner{System: "Flux", Name: "HelmRelease web"},
			schema.GroupKind{Kind: "Service"},
			`in the HelmRelease web:
spec:
  driftDetection:
    ignore:
    - paths:
      - /spec/selector/version
      - /metadata/annotations/rheostat.dev~1fence
      target:
        kind: Service
        name: web
        namespace: prod
`,
		},
		{kube.Owner{System: "Helm", Name: "prod/web"}, schema.GroupKind{Kind: "Service"}, "nothing: Helm writes only when somebody runs it"},
	} {
		got := c.owner.Leave(c.kind, "prod", "web", []string{"spec", "selector", "version"}, []string{"metadata", "annotations", kube.Fence})
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.owner, d)
		}
	}
}

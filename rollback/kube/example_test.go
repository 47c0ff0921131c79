// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
)

// A Deployment goes back to the revision that is known to be good, by name.
func Example() {
	ctx := context.Background()
	client := clientWith("web:1", "web:2")
	target, err := kube.Deployment(client, "prod", "web", kube.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	revisions, err := target.Revisions(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range revisions {
		fmt.Println(r.Number, r.Images, r.Current)
	}

	ledger, _ := rollback.Ledger{Service: "web"}.Deployed(time.Now(), revisions[0].Revision)
	ledger, _ = ledger.Baked(time.Now(), revisions[0].Digest)
	ledger, _ = ledger.Deployed(time.Now(), revisions[1].Revision)
	result, err := rollback.Do(ctx, target, ledger, rollback.Options{
		Ask:    rollback.Ask{By: "errors", Why: "5.2% is over 1%"},
		Stable: 20 * time.Millisecond, Poll: 5 * time.Millisecond,
	})
	fmt.Println(result.Outcome, result.Status.Reason, err)

	// By a number that has moved, or by "the previous one", nobody goes back twice.
	_, err = rollback.Do(ctx, target, result.Ledger, rollback.Options{
		Ask: rollback.Ask{Trigger: rollback.Human, By: "ada", Why: "wrong button", To: revisions[1].ID},
	})
	fmt.Println(err != nil)
	// Output:
	// 1 [web:1] false
	// 2 [web:2] true
	// rolledBack 1 of 1 pods are available <nil>
	// true
}

// clientWith is a client of a cluster, in memory, with a Deployment that has run these
// images. In a program: rest.InClusterConfig or clientcmd, and dynamic.NewForConfig.
func clientWith(images ...string) dynamic.Interface {
	server := kubefake.New()
	template := func(image string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": image}}},
		}
	}
	for i, image := range images {
		server.Add(apps("replicasets"), "ReplicaSet", "prod", fmt.Sprint("web-", i+1), map[string]any{
			"metadata": map[string]any{
				"labels":      map[string]any{"app": "web"},
				"annotations": map[string]any{"deployment.kubernetes.io/revision": fmt.Sprint(i + 1)},
				"ownerReferences": []any{map[string]any{
					"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "1", "controller": true,
				}},
			},
			"spec": map[string]any{"template": template(image)},
		})
	}
	server.Add(apps("deployments"), "Deployment", "prod", "web", map[string]any{
		"metadata": map[string]any{"uid": "1"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": template(images[len(images)-1]),
		},
		// Its controller is not part of this; it would see the second generation as well.
		"status": map[string]any{"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
	})
	return dynamic.NewForConfigOrDie(server.Config())
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "%s"}]
`

func TestABadDeployIsUndoneAndNobodyGoesBackThereByMistake(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	namespace, ledger := cluster.Namespace(t), filepath.Join(t.TempDir(), "ledger.json")
	undo := func(args ...string) (string, error) {
		var out strings.Builder
		all := append([]string{"-kubeconfig", cluster.Kubeconfig(), "-n", namespace, "-ledger", ledger, "-why", "errors since 14:02", "deployment/web"}, args...)
		err := run(t.Context(), all, &out)
		return out.String(), err
	}
	until := func(want string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			out, err := undo("status")
			if err == nil && strings.Contains(out, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %q, last %q %v", want, out, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	cluster.Apply(t, fmt.Sprintf(deployment, namespace, "web:1"))
	until("healthy: 2 of 2")
	cluster.Apply(t, fmt.Sprintf(deployment, namespace, "web:broken"))
	until("progressing: ")

	out, err := undo("history")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[2], "* ") || !strings.Contains(lines[2], "web:broken") {
		t.Fatalf("history: %v\n%s", err, out)
	}
	if out, err = undo("undo", "-to", "1"); err != nil || !strings.Contains(out, "rolledBack: 2 of 2 pods are available") {
		t.Fatalf("undo: %v\n%s", err, out)
	}
	out, err = undo("history")
	if err != nil || !strings.Contains(out, "rollback from web-") {
		t.Errorf("history: %v\n%s", err, out)
	}
	if out, err = undo("undo", "-to", "2"); !errors.Is(err, rollback.ErrQuarantined) {
		t.Errorf("back to the bad one: %v\n%s", err, out)
	}
	if _, err = undo("undo", "-to", "0"); !errors.Is(err, rollback.ErrNoTarget) {
		t.Errorf("to the previous one: %v", err)
	}
}

func TestWhatCannotBeMeantIsSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{},
		{"web", "history"},
		{"deployment/web"},
		{"deployment/web", "undo"},
		{"-why", "x", "deployment/web", "undo"},
		{"deployment/web", "undo", "-to", "1"},
		{"deployment/web", "history", "-to", "1"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was understood", args)
		}
	}
}

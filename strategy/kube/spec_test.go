// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/strategytest"
)

func TestAnIntentIsForTheRunItNames(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod"})
	full := strategytest.FullState("web", 1) // run 3
	if err := s.Save(t.Context(), "web", 0, full); err != nil {
		t.Fatal(err)
	}
	step := strategy.StepRef{Lane: "eu", Step: "100%"}
	for _, c := range []struct {
		name, intent string
		want         strategy.Intent
	}{
		{"nothing", `null`, strategy.Intent{Run: 3}},
		{"a hold is for every run", `{"hold":true,"by":"ada"}`, strategy.Intent{Run: 3, Hold: true, By: "ada"}},
		{"an abort of yesterday", `{"run":2,"abort":true,"promote":true,"by":"ada"}`, strategy.Intent{Run: 3, By: "ada"}},
		{"an abort of this run", `{"run":3,"abort":true,"by":"ada","why":"slow"}`, strategy.Intent{Run: 3, Abort: true, By: "ada", Why: "slow"}},
		{
			"an approval is of the run's plan", `{"run":3,"approvals":[{"lane":"eu","step":"100%","by":"ben"}],"waive":[{"lane":"eu","step":"100%"}],"resume":7,"by":"ben"}`,
			strategy.Intent{
				Run: 3, Resume: 7, By: "ben", Waive: []strategy.StepRef{step},
				Approvals: []strategy.Grant{{StepRef: step, Digest: full.Plan.Digest(), By: "ben"}},
			},
		},
		{
			"an approval of another plan stays one", `{"run":3,"approvals":[{"lane":"eu","step":"100%","by":"ben","digest":"other"}],"by":"ben"}`,
			strategy.Intent{Run: 3, By: "ben", Approvals: []strategy.Grant{{StepRef: step, Digest: "other", By: "ben"}}},
		},
	} {
		edit(t, client, "web", `{"spec":{"intent":null}}`)
		edit(t, client, "web", `{"spec":{"intent":`+c.intent+`}}`)
		got, err := s.Intent(t.Context(), "web")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	edit(t, client, "web", `{"spec":{"intent":null,"candidate":{"version":"v9"}}}`)
	if got, err := s.Intent(t.Context(), "web"); err != nil || got.Want.Version != "v9" {
		t.Errorf("the candidate wanted is %+v, %v", got.Want, err)
	}
}

func TestAConfigMapHasItsIntentInAnAnnotation(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod", ConfigMaps: true})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	note := func(text string) {
		patchObject(t, client, kubeConfigMaps, "rheostat-web", `{"metadata":{"annotations":{"`+kube.IntentNote+`":"`+strings.ReplaceAll(text, `"`, `\"`)+`"}}}`)
	}
	note(`{"run":3,"abort":true,"by":"ada"}`)
	got, err := s.Intent(t.Context(), "web")
	if err != nil || !got.Abort || got.By != "ada" || got.Run != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	note(`{"run":`)
	if _, err := s.Intent(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), kube.IntentNote) {
		t.Errorf("an intent that cannot be read: %v", err)
	}
}

func TestAnIntentThatIsNotFoundIsNotKnown(t *testing.T) {
	t.Parallel()
	s := newStore(t, newFakeAPI().client(t), kube.Options{Namespace: "prod"})
	if got, err := s.Intent(t.Context(), "web"); err == nil {
		t.Errorf("got %+v and no error", got)
	}
}

func TestWhatIsBeingDeletedGoesHome(t *testing.T) {
	t.Parallel()
	client := newFakeAPI().client(t)
	s := newStore(t, client, kube.Options{Namespace: "prod"})
	if err := s.Save(t.Context(), "web", 0, strategytest.FullState("web", 1)); err != nil {
		t.Fatal(err)
	}
	edit(t, client, "web", `{"metadata":{"finalizers":["example.com/wait"]},"spec":{"intent":{"hold":true}}}`)
	if err := client.Resource(kube.Rollouts).Namespace("prod").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Intent(t.Context(), "web")
	if err != nil || !got.Abort || got.Hold {
		t.Errorf("%+v, %v", got, err)
	}
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/traffic"
)

// End says what becomes of the two Deployments when the candidate is good.
type End uint8

const (
	// Promote has stable take the candidate's template, brings the traffic back to it, and
	// lets the candidate rest. It is the zero End.
	Promote End = iota
	// Swap leaves the traffic where it is and lets the old Deployment rest, once the steps
	// of the strategy, its bake among them, are over.
	Swap
)

// Options say which Deployments a Workload is, and how they are treated.
type Options struct {
	// Namespace is where everything is. Required.
	Namespace string
	// Router is what splits the traffic between the two. Required: nothing is scaled down
	// that it shows to have traffic.
	Router traffic.Router
	// Target is what the plan calls the router. It may be left out where the plan turns
	// only one.
	Target string
	// Name comes before the names of the tasks, for rollouts of several Workloads.
	Name string
	// End is Promote or Swap.
	End End
	// Deployment names the Deployment of an arm. nil is that both have the same name.
	Deployment func(arm string) string
	// Template makes the candidate's pod template out of stable's. nil is that somebody
	// else writes the candidate's Deployment, and only its replicas are ours.
	Template Template
	// Labels are what the candidate's pods have other than stable's, when its Deployment
	// is made here, so that no selector of stable's, a Service's least of all, takes them
	// for its own. The zero Labels are those by which stable's Deployment knows its pods
	// and that have its name as their value: "app: web" becomes "app: web-candidate".
	Labels map[string]string
	// Surge is how many pods the candidate gets beyond what its share needs.
	Surge int
	// Warm is how many pods a resting Deployment keeps. 0 is none.
	Warm int
	// Configs are what goes forward and back with the code: "ConfigMap/web", "Secret/keys".
	// It takes a Template.
	Configs []string
	// Return are the weights by which the traffic shifts back to stable after Promote, falling to
	// 0. Empty is at once: stable has all its pods by then.
	Return []traffic.Weight
	// Drain is how long an arm without traffic keeps its pods, for requests under way. 0 is
	// 30 seconds.
	Drain time.Duration
	// Grace is the time between the declaration that a Deployment rests and its
	// being scaled down. It must be longer than any process takes from a look at the room
	// to the write of the route. 0 is 15 seconds.
	Grace time.Duration
	// Unowned is your word that a system which keeps the Deployments as its sources say,
	// such as Argo CD or Flux, leaves alone what is written here; Check says what to tell it.
	Unowned bool
}

// Template makes the candidate's pod template, what a Deployment has in spec.template, out
// of a copy of stable's. The same release must give the same template. Labels that select
// are put right afterwards.
type Template func(release strategy.Release, stable map[string]any) (map[string]any, error)

// Image is stable's template with another image in one container: repository with the
// candidate's digest, or its version as the tag where it has none.
func Image(container, repository string) Template {
	return func(release strategy.Release, pod map[string]any) (map[string]any, error) {
		image := repository + ":" + release.Candidate.Version
		if release.Candidate.Digest != "" {
			image = repository + "@" + release.Candidate.Digest
		}
		for _, c := range field[[]any](pod, "spec", "containers") {
			if c, ok := c.(map[string]any); ok && c["name"] == container {
				c["image"] = image
				return pod, nil
			}
		}
		return nil, fmt.Errorf("image: stable's template has no container %q", container)
	}
}

// Workload is the two Deployments of a rollout. It is safe for concurrent use, and keeps
// nothing in memory: another process goes on where this one stopped.
type Workload struct {
	client dynamic.Interface
	o      Options
}

// New checks the options. It does not connect.
func New(client dynamic.Interface, o Options) (*Workload, error) {
	switch {
	case client == nil:
		return nil, errors.New("workload: New: the client is nil")
	case o.Namespace == "":
		return nil, errors.New("workload: Options.Namespace is empty")
	case o.Router == nil:
		return nil, errors.New("workload: Options.Router is nil: without it nobody knows whether a Deployment has traffic")
	case o.End > Swap:
		return nil, errors.New("workload: Options.End: use Promote or Swap")
	case o.Surge < 0 || o.Warm < 0 || o.Drain < 0 || o.Grace < 0:
		return nil, errors.New("workload: Options.Surge, Warm, Drain and Grace must not be negative")
	case len(o.Configs) > 0 && o.Template == nil:
		return nil, errors.New("workload: Options.Configs: what uses them is written by somebody else; set Options.Template")
	}
	for _, c := range o.Configs {
		if kind, name := split(c); kind != "ConfigMap" && kind != "Secret" || name == "" {
			return nil, fmt.Errorf("workload: Options.Configs: %q: want \"ConfigMap/name\" or \"Secret/name\"", c)
		}
	}
	for i, w := range o.Return {
		if w >= traffic.Full || i > 0 && w >= o.Return[i-1] {
			return nil, fmt.Errorf("workload: Options.Return: %v: want weights that fall from below 100%% to 0%%", w)
		}
	}
	if len(o.Return) == 0 || o.Return[len(o.Return)-1] > 0 {
		o.Return = append(slices.Clone(o.Return), 0)
	}
	o.Drain = cmp.Or(o.Drain, 30*time.Second)
	o.Grace = cmp.Or(o.Grace, 15*time.Second)
	return &Workload{client: client, o: o}, nil
}

func split(config string) (kind, name string) {
	kind, name, _ = strings.Cut(config, "/")
	return kind, name
}

func (x *Workload) name(arm string) string {
	if x.o.Deployment == nil {
		return arm
	}
	return x.o.Deployment(arm)
}

// deployment is the Deployment of an arm; ok is false where there is none.
func (x *Workload) deployment(ctx context.Context, arm string) (d deployment, ok bool, err error) {
	o, err := x.get(ctx, deployments, x.name(arm))
	return deployment{o}, o != nil, err
}

// pair are both Deployments. Without stable there is nothing to do.
func (x *Workload) pair(ctx context.Context, arms traffic.Arms) (stable, candidate deployment, found bool, err error) {
	stable, ok, err := x.deployment(ctx, arms.Stable)
	if err == nil && !ok {
		err = fmt.Errorf("deployment %s/%s of stable is not there", x.o.Namespace, x.name(arms.Stable))
	}
	if err != nil {
		return stable, candidate, false, err
	}
	candidate, found, err = x.deployment(ctx, arms.Candidate)
	return stable, candidate, found, err
}

// editArm changes the Deployment of an arm.
func (x *Workload) editArm(ctx context.Context, arm string, fence uint64, change func(deployment) error) (deployment, error) {
	o, err := x.edit(ctx, deployments, x.name(arm), fence, func(o *unstructured.Unstructured) error { return change(deployment{o}) })
	return deployment{o}, err
}

// full is how many replicas carry everything: what stable had when the run began, or has
// now if that is more. A record of neither is that no rollout is under way.
func full(stable, candidate deployment, found bool) int64 {
	n := stable.replicas()
	if r := stable.record(); r.Replicas > 0 {
		if stable.resting() {
			return r.Replicas
		}
		return max(r.Replicas, n)
	}
	if found {
		n = max(n, candidate.replicas())
	}
	return n
}

// need is how many replicas carry a share of everything: whole pods, and at least one for
// whoever is let in by a header.
func (x *Workload) need(share traffic.Weight, all int64) int64 {
	return carried(share, all) + int64(x.o.Surge)
}

func carried(share traffic.Weight, all int64) int64 {
	return max(1, (int64(share)*all+int64(traffic.Full)-1)/int64(traffic.Full))
}

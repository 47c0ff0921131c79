// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command kubernetes releases a version of a Deployment beside the one that serves, turns
// the traffic to it by whichever object splits it, and goes home where its pods do not
// become ready:
//
//	kubernetes -n prod -by gateway/web -app web -image registry.example/web -from v1 -to v2
//
// -by is service, ingress, gateway, istio, traefik or contour, and the object's name. A Service
// is switched as a whole, by its selector's label "app"; the others go by steps. There,
// and for a Service too, the Deployment, its label "app" and its Service have the name that
// -app says; the candidate's have "-candidate" behind it. The Deployment of the candidate is made
// here; the candidate's Service, where one splits the traffic, is yours.
//
// Traefik needs its option providers.kubernetesCRD.allowEmptyServices, for it gives up all of a
// TraefikService in which one version has no pods; see traffic/kube/traefik.
//
// The rollout is kept in the ConfigMap rheostat-web of the namespace. Ending this early
// ends nothing: the same command goes on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

// command is what was asked for.
type command struct {
	kubeconfig, namespace, by, app, container, image, from, to string
	hold, drain, lag                                           time.Duration
}

func parse(args []string) (command, error) {
	var c command
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "`file` to use instead of kubectl's")
	flags.StringVar(&c.namespace, "n", "default", "namespace")
	flags.StringVar(&c.by, "by", "", "what splits the traffic: `KIND/NAME`")
	flags.StringVar(&c.app, "app", "", "the Deployment that serves")
	flags.StringVar(&c.container, "container", "", "the container that gets the image; -app by default")
	flags.StringVar(&c.image, "image", "", "the `repository`, without a tag")
	flags.StringVar(&c.from, "from", "", "the version that serves")
	flags.StringVar(&c.to, "to", "", "the version to release, which is its tag")
	flags.DurationVar(&c.hold, "hold", time.Minute, "how long each step lasts at least")
	flags.DurationVar(&c.drain, "drain", 30*time.Second, "how long pods without traffic are kept")
	flags.DurationVar(&c.lag, "lag", 0, "how long what routes may follow behind its object; 0 is what its kind usually needs")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if c.container == "" {
		c.container = c.app
	}
	for name, value := range map[string]string{"by": c.by, "app": c.app, "image": c.image, "from": c.from, "to": c.to} {
		if value == "" {
			return c, fmt.Errorf("-%s is missing", name)
		}
	}
	return c, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return err
	}
	config.QPS = -1 // by default a client waits to make no more than five requests a second
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	return c.release(ctx, client, out)
}

func (c command) release(ctx context.Context, client dynamic.Interface, out io.Writer) error {
	router, err := c.router(ctx, client)
	if err != nil {
		return err
	}
	pods, err := workload.New(client, workload.Options{
		Namespace: c.namespace, Router: router, Template: workload.Image(c.container, c.image), Drain: c.drain, Grace: min(c.drain, 15*time.Second),
	})
	if err != nil {
		return err
	}
	plan, err := pods.Plan(c.strategy())
	if err != nil {
		return err
	}
	store, err := kube.NewStore(client, kube.Options{Namespace: c.namespace, ConfigMaps: true})
	if err != nil {
		return err
	}
	wiring := strategy.Wiring{Routers: map[string]traffic.Router{c.app: pods.Router()}, Tasks: pods.Tasks(plan)}
	log := slog.New(slog.NewTextHandler(out, nil))
	runner, err := strategy.NewRunner(strategy.Config{Store: store, Wire: strategy.Fixed(wiring), Poll: time.Second, Log: log})
	if err != nil {
		return err
	}
	state, err := store.Load(ctx, c.app)
	if err != nil {
		return err
	}
	// What is under way is gone on with: to be checked is what is about to begin.
	if !state.Active() || state.Release.Candidate.Version != c.to {
		if err := c.start(ctx, runner, pods, plan, out); err != nil {
			return err
		}
	}
	watching, enough := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { c.explain(watching, runner, log) })
	end, err := runner.Run(ctx, c.app)
	enough()
	watch.Wait()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the same command goes on")
	}
	if err == nil {
		fmt.Fprintf(out, "%s: %v\n", end.Release.Candidate.Version, end.Phase)
	}
	return err
}

// explain says every few seconds what the rollout waits for, where that has changed.
func (c command) explain(ctx context.Context, runner *strategy.Runner, log *slog.Logger) {
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
		if e, err := runner.Explain(ctx, c.app); err == nil && e.Summary != said {
			said = e.Summary
			log.Info("waiting", "for", said)
		}
	}
}

// start begins the rollout, if nothing speaks against it.
func (c command) start(ctx context.Context, runner *strategy.Runner, pods *workload.Workload, plan strategy.Plan, out io.Writer) error {
	release := strategy.Release{
		Stable:    strategy.Revision{Version: c.from, Backend: c.app},
		Candidate: strategy.Revision{Version: c.to, Backend: c.app + "-candidate"},
	}
	cautions, err := pods.Check(ctx, release)
	for _, caution := range cautions {
		fmt.Fprintln(out, "caution:", caution)
	}
	if err != nil {
		return err
	}
	forecast, err := strategy.Preview(plan)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, forecast)
	_, err = runner.Start(ctx, c.app, strategy.Request{Release: release, Plan: plan})
	return err
}

// strategy is a canary, or, where the traffic cannot be split, a switch.
func (c command) strategy() strategy.Strategy {
	if strings.HasPrefix(c.by, "service/") {
		return strategy.BlueGreen{Target: c.app, NoPreview: true, Bake: c.hold}
	}
	weights := []traffic.Weight{traffic.Percent(5), traffic.Percent(25), traffic.Percent(50), traffic.Full}
	return strategy.Canary{Target: c.app, Weights: weights, Hold: c.hold}
}

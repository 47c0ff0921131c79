// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command watch looks after a Deployment that others deploy to, by a pipeline or by hand.
// Each version is watched for a while; one that does not become healthy, or that a check
// fails, is taken back, once, to the last that was good:
//
//	watch -n prod -for 10m -stuck 5m deployment/web
//	watch -n prod -check http://stats.prod/errors -most 0.05 deployment/web
//
// The check is an address that answers {"value": 0.013}. What runs at the beginning is
// watched first: until it has passed, there is nothing to go back to. All that is known is
// in memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/web"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
	"github.com/rheostat-go/rheostat/strategy/monitor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "`file` to use instead of kubectl's")
	namespace := flags.String("n", "default", "`namespace` of the Deployment")
	check := flags.String("check", "", "`address` that answers with a value, such as the share of requests that fail")
	most := flags.Float64("most", 0.05, "the highest value of the check that is good")
	every := flags.Duration("every", 5*time.Second, "how often it looks")
	var budget rollback.Budget
	flags.IntVar(&budget.Returns, "returns", 1, "how many versions may be taken back within an hour, before a person must look")
	w := monitor.Watch{Judges: map[string]analysis.Judge{}}
	flags.DurationVar(&w.For, "for", 10*time.Minute, "how long a version must be healthy to be good")
	flags.DurationVar(&w.Stuck, "stuck", 5*time.Minute, "how long a version may be unhealthy")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, ok := strings.CutPrefix(flags.Arg(0), "deployment/")
	if !ok || flags.NArg() != 1 {
		return errors.New("usage: watch [flags] deployment/NAME")
	}
	target, err := deployment(*kubeconfig, *namespace, name)
	if err != nil {
		return err
	}
	w.Service, w.Target, w.Every = name, target, *every
	w.Return = rollback.Options{Stable: 2 * *every, Poll: *every, Ask: rollback.Ask{Budget: budget}}
	w.Observe = tell(out)
	if *check != "" {
		if w.Judges["check"], err = judge(*check, *most, *every); err != nil {
			return err
		}
	}
	m, err := monitor.New(&monitor.MemoryStore{}, w)
	if err != nil {
		return err
	}
	return follow(ctx, m, target, *every)
}

func deployment(kubeconfig, namespace, name string) (*kube.Target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return kube.Deployment(client, namespace, name, kube.Options{})
}

// judge holds the number that an address answers with against a bound.
func judge(address string, most float64, every time.Duration) (analysis.Judge, error) {
	endpoint, err := web.New(address, web.Options{AllowPrivate: true}) // who starts this names it
	if err != nil {
		return nil, err
	}
	value, err := endpoint.Value("value", web.Number{})
	if err != nil {
		return nil, err
	}
	return analysis.NewThreshold(value, analysis.AtMost(most), analysis.ThresholdOptions{Interval: every})
}

// follow watches each version that is deployed, one after the other.
func follow(ctx context.Context, m *monitor.Monitor, target *kube.Target, every time.Duration) error {
	var running string // what the last watch has left
	for {
		now, _, err := target.Current(ctx)
		if err == nil && now.Digest != running {
			var s monitor.State
			if _, err = m.Begin(ctx); err == nil {
				s, err = m.Run(ctx)
				running = s.Ledger.Running
			}
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "watch:", err) // and it tries again
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// tell prints what becomes of a watch: its beginning, each change of health, its end.
func tell(out io.Writer) func(context.Context, monitor.State) {
	var last string
	return func(_ context.Context, s monitor.State) {
		now := fmt.Sprint(s.Run, s.Health, s.Returning, s.Outcome)
		if now != last {
			fmt.Fprintf(out, "%s is %v, %v: %s\n", s.Revision.ID, s.Health, s.Outcome, s.Why)
			last = now
		}
	}
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command undo tells what a Deployment, StatefulSet or DaemonSet has run and how it does,
// and brings it back to a revision that you name:
//
//	undo -n prod deployment/web history
//	undo -n prod deployment/web status
//	undo -n prod -why "errors since 14:02" deployment/web undo -to 3
//
// A revision is named by its number, its name, or its ReplicaSet's. The cluster is the one
// that kubectl talks to, or that of -kubeconfig. With -ledger FILE it is remembered what was
// undone, so that nobody goes back there by mistake. Ending it early ends nothing: the same
// command goes on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "undo:", err)
		os.Exit(1)
	}
}

// command is what was asked for.
type command struct {
	kubeconfig, namespace, ledger, why string
	kind, name, verb, to               string
	options                            kube.Options
	deadline                           time.Duration
}

const usage = "usage: undo [flags] deployment|statefulset|daemonset/NAME history|status|undo -to REVISION"

func parse(args []string) (command, error) {
	var c command
	flags := flag.NewFlagSet("undo", flag.ContinueOnError)
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "`file` to use instead of kubectl's")
	flags.StringVar(&c.namespace, "n", "", "namespace; that of the context by default")
	flags.StringVar(&c.ledger, "ledger", "", "`file` that remembers what was undone")
	flags.StringVar(&c.why, "why", "", "one sentence for whoever reads the history")
	flags.BoolVar(&c.options.AcceptHelm, "accept-helm", false, "go back although Helm installed it")
	flags.BoolVar(&c.options.Unstick, "unstick", false, "delete pods that hold up a StatefulSet")
	flags.DurationVar(&c.deadline, "deadline", 10*time.Minute, "how long it may take to be healthy")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	rest := flags.Args()
	if len(rest) < 2 {
		return c, errors.New(usage)
	}
	var ok bool
	if c.kind, c.name, ok = strings.Cut(rest[0], "/"); !ok {
		return c, errors.New(usage)
	}
	c.verb = rest[1]
	after := flag.NewFlagSet(c.verb, flag.ContinueOnError)
	if c.verb == "undo" {
		after.StringVar(&c.to, "to", "", "the `revision` to go to")
	}
	if err := after.Parse(rest[2:]); err != nil {
		return c, err
	}
	if c.verb == "undo" && (c.to == "" || c.why == "") {
		return c, errors.New("undo needs -to, where to go, and -why")
	}
	return c, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	target, err := c.target()
	if err != nil {
		return err
	}
	switch c.verb {
	case "history":
		return history(ctx, target, out)
	case "status":
		return status(ctx, target, out)
	case "undo":
		return c.undo(ctx, target, out)
	}
	return errors.New(usage)
}

func (c command) target() (*kube.Target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	rest, err := config.ClientConfig()
	if err != nil {
		return nil, err
	}
	if c.namespace == "" {
		if c.namespace, _, err = config.Namespace(); err != nil {
			return nil, err
		}
	}
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(c.kind) {
	case "deployment", "deployments", "deploy":
		return kube.Deployment(client, c.namespace, c.name, c.options)
	case "statefulset", "statefulsets", "sts":
		return kube.StatefulSet(client, c.namespace, c.name, c.options)
	case "daemonset", "daemonsets", "ds":
		return kube.DaemonSet(client, c.namespace, c.name, c.options)
	}
	return nil, fmt.Errorf("%q is none of deployment, statefulset and daemonset", c.kind)
}

func history(ctx context.Context, target *kube.Target, out io.Writer) error {
	revisions, err := target.Revisions(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tNUMBER\tREVISION\tCREATED\tIMAGES\tCAUSE")
	for _, r := range revisions {
		mark := ""
		if r.Current {
			mark = "*"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", mark, r.Number, r.ID, r.Created.Format(time.DateTime), strings.Join(r.Images, ","), r.Cause)
	}
	return table.Flush()
}

func status(ctx context.Context, target *kube.Target, out io.Writer) error {
	now, _, err := target.Current(ctx)
	if err != nil {
		return err
	}
	s, err := target.Observe(ctx)
	if err != nil {
		return err
	}
	health, reason := s.Judge(now)
	fmt.Fprintf(out, "%s is %s: %s\n", now.ID, health, reason)
	for _, note := range s.Notes {
		fmt.Fprintln(out, " ", note)
	}
	return nil
}

func (c command) undo(ctx context.Context, target *kube.Target, out io.Writer) error {
	to, err := target.Find(ctx, c.to)
	if err != nil {
		return err
	}
	ledger, err := c.load(target.String())
	if err != nil {
		return err
	}
	by := "somebody"
	if u, err := user.Current(); err == nil {
		by = u.Username
	}
	fmt.Fprintf(out, "going to %s (%s)\n", to.ID, strings.Join(to.Images, ","))
	result, err := rollback.Do(ctx, target, ledger, rollback.Options{
		Ask:  rollback.Ask{Trigger: rollback.Human, By: by, Why: c.why, To: to.ID},
		Save: c.save, Deadline: c.deadline, Poll: time.Second, Stable: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", result.Outcome, result.Status.Reason)
	return nil
}

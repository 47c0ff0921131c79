// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Command controller is a whole custom controller: a resource that says what is to be
// released, kubectl to watch and to steer it, and replicas that share the work.
//
//	controller -crd | kubectl apply -f -
//	kubectl apply -f manifests -f sample.yaml
//	kubectl get rollouts -n shop -w
//
// A Rollout named web goes to and fro between the Deployments web-blue and web-green. The
// first of them is yours; the other one is made of it, with the candidate's image. Another
// spec.candidate begins a rollout, and who patches spec.intent steers it:
//
//	kubectl patch rollout web -n shop --type merge -p '{"spec":{"intent":{"hold":true,"by":"ada"}}}'
//	kubectl patch rollout web -n shop --type merge -p '{"spec":{"intent":{"run":3,"abort":true,"by":"ada"}}}'
//	kubectl patch rollout web -n shop --type merge -p '{"spec":{"intent":{"run":3,"approvals":[{"lane":"web","step":"5%","by":"ada"}],"by":"ada"}}}'
//
// It works in one namespace, with the rights of manifests/rbac.yaml and no others.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/workload"
	"github.com/rheostat-go/rheostat/traffic"
	routers "github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
	"github.com/rheostat-go/rheostat/traffic/kube/ingress"
)

// rollouts are those of package kube under another group, and with fields of our own.
var rollouts = schema.GroupVersionResource{Group: "deploy.example.com", Version: "v1alpha1", Resource: "rollouts"}

//go:embed definition.yaml
var fields string

// definitions are the resource, and the policy that makes who steers it say who they are.
func definitions() string {
	const before = "              properties:\n                stable:\n"
	ours := strings.NewReplacer(before, fields+"                stable:\n", kube.Rollouts.Group, rollouts.Group)
	return ours.Replace(kube.CRD() + "---\n" + kube.AdmissionPolicy())
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("controller", flag.ContinueOnError)
	crd := flags.Bool("crd", false, "print the resource definition and the admission policy, and end")
	kubeconfig := flags.String("kubeconfig", "", "`file` to use instead of the pod's account")
	namespace := flags.String("n", "default", "`namespace` to work in")
	listen := flags.String("listen", ":8080", "`address` of /livez and /readyz")
	lease := flags.Duration("lease", 15*time.Second, "after how long a replica that is not heard of is taken for dead")
	poll := flags.Duration("poll", 5*time.Second, "how often a rollout under way is looked at")
	lag := flags.Duration("lag", 0, "how long what routes may follow behind its object; 0 is what its kind usually needs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *crd {
		_, err := io.WriteString(out, definitions())
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1 // by default a client waits to make no more than five requests a second
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	r, log := releases{client, *namespace, *lag}, slog.New(slog.NewTextHandler(out, nil))
	controller, err := kube.NewController(client, kube.ControllerOptions{
		Options:  kube.Options{Namespace: *namespace, Resource: rollouts, Kind: "Rollout"},
		Request:  r.request,
		Wire:     r.wire,
		Config:   strategy.Config{Poll: *poll, Log: log},
		Sharding: kube.Sharding{Shards: 16, Namespace: *namespace, Name: "rollouts", Lease: *lease},
	})
	if err != nil {
		return err
	}
	return serve(ctx, controller, *listen, log)
}

// serve runs the controller, and answers its probes.
func serve(ctx context.Context, controller *kube.Controller, address string, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	log.Info("listening", "address", listener.Addr().String())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := controller.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	work, cancel := context.WithCancelCause(ctx)
	go func() { cancel(server.Serve(listener)) }()
	err = controller.Run(work) // at its end it tells the other replicas that it leaves
	if ctx.Err() != nil {
		err = nil // it was asked to end
	}
	return errors.Join(err, server.Close())
}

// rollout is what an object says, and the two Deployments that follow from it.
type rollout struct {
	Spec struct {
		kube.Spec
		Traffic     string
		Image       string
		Weights     []traffic.Weight
		Hold, Drain metav1.Duration
		Approve     bool
	}
	pods *workload.Workload
	plan strategy.Plan
}

// releases reads rollouts. It keeps nothing: a replica that takes over knows as much.
type releases struct {
	client    dynamic.Interface
	namespace string
	lag       time.Duration
}

func (r releases) read(object *unstructured.Unstructured) (x rollout, err error) {
	text, err := json.Marshal(object.Object)
	if err := errors.Join(err, json.Unmarshal(text, &x)); err != nil {
		return x, err
	}
	router, err := r.router(x.Spec.Traffic)
	if err != nil {
		return x, err
	}
	name, drain := object.GetName(), cmp.Or(x.Spec.Drain.Duration, 30*time.Second)
	x.pods, err = workload.New(r.client, workload.Options{
		Namespace: r.namespace, Router: router, End: workload.Swap, Template: workload.Image(name, x.Spec.Image),
		Drain: drain, Grace: min(drain, 15*time.Second),
	})
	if err != nil {
		return x, err
	}
	var approval *strategy.Approval
	if x.Spec.Approve {
		approval = &strategy.Approval{}
	}
	var by strategy.Strategy = strategy.Canary{Target: name, Weights: x.Spec.Weights, Hold: x.Spec.Hold.Duration, Approval: approval}
	if router.Caps().Granularity == traffic.Full { // it knows all or nothing
		by = strategy.BlueGreen{Target: name, NoPreview: true, Bake: x.Spec.Hold.Duration, Approval: approval}
	}
	x.plan, err = x.pods.Plan(by)
	return x, err
}

// request is the release that an object asks for: from the side that serves to the other.
func (r releases) request(_ context.Context, now kube.Rollout) (strategy.Request, bool, error) {
	x, err := r.read(now.Object)
	if err != nil || x.Spec.Candidate == (strategy.Revision{}) {
		return strategy.Request{}, false, err
	}
	blue, green := now.Object.GetName()+"-blue", now.Object.GetName()+"-green"
	release := strategy.Release{Stable: x.Spec.Stable, Candidate: x.Spec.Candidate}
	if now.State.Phase != strategy.Idle {
		release.Stable = now.State.Serving()
	}
	release.Stable.Backend = cmp.Or(release.Stable.Backend, blue)
	if release.Candidate.Backend = green; release.Stable.Backend == green {
		release.Candidate.Backend = blue
	}
	return strategy.Request{Release: release, Plan: x.plan}, true, nil
}

// wire is what the plans of a Rollout refer to by name. The judges of its checks would be
// here, too.
func (r releases) wire(_ context.Context, now kube.Rollout) (strategy.Wiring, error) {
	x, err := r.read(now.Object)
	if err != nil {
		return strategy.Wiring{}, err
	}
	return strategy.Wiring{
		Routers: map[string]traffic.Router{now.Service: x.pods.Router()},
		Tasks:   x.pods.Tasks(x.plan, now.State.Plan.Plan()), // a run keeps the plan that it began with
	}, nil
}

// router turns what spec.traffic names. An arm is a Service; where a Service is turned, it is
// the label "arm" of pods.
func (r releases) router(by string) (*routers.Router, error) {
	kind, name, _ := strings.Cut(by, "/")
	o := routers.Options{Lag: r.lag}
	switch kind {
	case "service":
		return routers.NewService(r.client, r.namespace, name, routers.ServiceOptions{Options: o, Key: "arm"})
	case "ingress":
		return ingress.New(r.client, r.namespace, name, ingress.Options{Options: o})
	case "httproute":
		return gateway.NewHTTPRoute(r.client, r.namespace, name, gateway.Options{Options: o})
	}
	return nil, fmt.Errorf("spec.traffic: %q: want service, ingress or httproute, and a name", by)
}

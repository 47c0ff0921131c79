// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
)

// kubeconfigVariable makes the test binary be the controller.
const kubeconfigVariable = "BENCH_CONTROLLER_KUBECONFIG"

func TestMain(m *testing.M) {
	if kubeconfig := os.Getenv(kubeconfigVariable); kubeconfig != "" {
		if err := control(kubeconfig); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// figures are what the process counts.
type figures struct {
	Calls map[string]int // by verb and resource
	// Took are the times from a verdict to the route that follows from it, in nanoseconds:
	// a state is saved and an object patched, and the API server has answered both.
	Took []time.Duration
}

// counter counts what goes through a client, and when judges spoke.
type counter struct {
	mu    sync.Mutex
	now   figures
	spoke map[string]time.Time // by the route's name
}

// control is a process with one Controller, which tells what it has counted.
func control(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	c := &counter{now: figures{Calls: map[string]int{}}, spoke: map[string]time.Time{}}
	config.QPS = -1
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return through(func(r *http.Request) (*http.Response, error) { return c.count(next, r) })
	})
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	controller, err := kube.NewController(client, kube.ControllerOptions{
		Options: kube.Options{Namespace: namespace}, Wire: c.wire(client),
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if err := json.NewEncoder(w).Encode(c.now); err != nil {
				panic(err)
			}
		})}
		_ = server.Serve(listener) // it ends with the process
	}()
	return controller.Run(context.Background())
}

type through func(r *http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (c *counter) count(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	verb, resource, name := strings.ToLower(r.Method), parts[len(parts)-1], ""
	for i, part := range parts {
		if part == "namespaces" && i+2 < len(parts) {
			resource = parts[i+2]
			if i+3 < len(parts) {
				name = parts[i+3]
				resource = strings.Join(append([]string{resource}, parts[i+4:]...), "/")
			}
		}
	}
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	} else if verb == "get" && name == "" {
		verb = "list"
	}
	response, err := next.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Calls[verb+" "+resource]++
	if spoke, ok := c.spoke[name]; ok && verb == "patch" && resource == "virtualservices" && err == nil {
		c.now.Took = append(c.now.Took, time.Since(spoke))
		delete(c.spoke, name)
	}
	return response, err
}

// wire gives each rollout the VirtualService of its name, and a judge that fails the
// candidate of every second one at 25%.
func (c *counter) wire(client dynamic.Interface) func(context.Context, kube.Rollout) (strategy.Wiring, error) {
	return func(ctx context.Context, r kube.Rollout) (strategy.Wiring, error) {
		name := r.Object.GetName()
		router, err := newRouter(ctx, client, name)
		judge := analysis.JudgeFunc(func(_ context.Context, check analysis.Check) (analysis.Finding, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.spoke[name] = time.Now()
			if strings.HasSuffix(name, "1") && check.Step == 1 {
				return check.Finding(analysis.Fail, "it is a bad one"), nil
			}
			return check.Finding(analysis.Pass, ""), nil
		})
		return strategy.Wiring{Routers: map[string]traffic.Router{"web": router}, Judges: map[string]analysis.Judge{"errors": judge}}, err
	}
}

func newRouter(ctx context.Context, client dynamic.Interface, name string) (*istio.Router, error) {
	o := istio.Options{Version: "v1"}
	o.Lag = time.Millisecond
	return istio.New(ctx, client, namespace, name, o)
}

func clientOf(config *rest.Config) (dynamic.Interface, error) {
	config.QPS = -1
	return dynamic.NewForConfig(config)
}

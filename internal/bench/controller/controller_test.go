// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/strategy"
	"github.com/rheostat-go/rheostat/strategy/kube"
	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
	"github.com/rheostat-go/rheostat/traffic"
)

var (
	rollouts = flag.Int("rollouts", 4, "how many rollouts there are")
	idle     = flag.Duration("idle", 2*time.Second, "how long it is watched at rest")
	write    = flag.Bool("write", false, "write CONTROLLER.md")
)

const namespace = "default"

// world is what all rollouts have in common: the pods of both arms.
const world = `
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-x, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}}
- {addresses: [10.0.0.2], conditions: {ready: true}}
---
`

// pair is a VirtualService and the Rollout that turns it.
const pair = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s, namespace: default}
spec: {hosts: [%[1]s], http: [{route: [{destination: {host: v1}, weight: 100}]}]}
---
apiVersion: rheostat.dev/v1alpha1
kind: Rollout
metadata: {name: %[1]s, namespace: default}
spec:
  stable: {version: v1}
  candidate: {version: v2}
  plan: {lanes: [{name: web, steps: [
    {set: [{target: web, split: {candidate: "5%%"}}], hold: 2s, checks: [errors]},
    {set: [{target: web, split: {candidate: "25%%"}}], hold: 2s, checks: [errors]},
    {set: [{target: web, split: {candidate: "100%%"}}], hold: 2s, checks: [errors]}]}]}
---
`

// TestManyRolloutsOnOneController carries them all out, nine in ten to the end and one home.
func TestManyRolloutsOnOneController(t *testing.T) {
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true})
	cluster.InstallCRDs(t, kube.CRD(), kubetest.CRDs(t, "istio", "virtualservices", "destinationrules"))
	cluster.Apply(t, fmt.Sprintf(world, "v1")+fmt.Sprintf(world, "v2"))
	client, err := clientOf(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	var texts strings.Builder
	names := make([]string, *rollouts)
	for i := range names {
		names[i] = fmt.Sprint("app-", i)
		fmt.Fprintf(&texts, pair, names[i])
		if i%50 == 49 || i == len(names)-1 {
			cluster.Apply(t, texts.String())
			texts.Reset()
		}
	}
	load := loadAverage()
	p := start(t, cluster.Kubeconfig())
	began := time.Now()
	phases := p.until(t, client, func(phases map[string]int) bool { return phases["promoted"]+phases["rolledBack"] == len(names) })
	took := time.Since(began)
	ran := p.figures(t)
	time.Sleep(*idle / 4)
	before := p.figures(t)
	time.Sleep(*idle)
	rested := p.figures(t)
	if bad := (len(names) + 8) / 10; phases["rolledBack"] != bad {
		t.Errorf("%v, want %d rolled back", phases, bad)
	}
	if len(ran.Took) < 2*len(names) {
		t.Errorf("%d times from a verdict to a route, want at least two a rollout", len(ran.Took))
	}
	refused := stale(t, client, names)
	if refused != len(names) {
		t.Errorf("%d of %d stale writes were refused", refused, len(names))
	}
	var b strings.Builder
	report(&b, load, took, ran, sum(rested.Calls)-sum(before.Calls), p.memory(t), phases, refused)
	t.Log("\n" + b.String())
	if *write {
		if err := os.WriteFile("../CONTROLLER.md", []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// stale writes to each route what a Controller would that has slept since its first decision.
func stale(t *testing.T, client dynamic.Interface, names []string) (refused int) {
	t.Helper()
	for _, name := range names {
		router, err := newRouter(t.Context(), client, name)
		if err != nil {
			t.Fatal(err)
		}
		route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
		switch err := router.Apply(t.Context(), 1, route); {
		case errors.Is(err, traffic.ErrFenced):
			refused++
		case err != nil:
			t.Error(err)
		}
	}
	return refused
}

// process is the controller's.
type process struct {
	cmd     *exec.Cmd
	address string
}

func start(t *testing.T, kubeconfig string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])} //nolint:noctx // the test ends it
	p.cmd.Env = append(os.Environ(), kubeconfigVariable+"="+kubeconfig)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	})
	scan := bufio.NewScanner(out)
	if !scan.Scan() {
		t.Fatal("the controller has ended")
	}
	p.address = scan.Text()
	return p
}

func (p *process) figures(t *testing.T) (f figures) {
	t.Helper()
	response, err := http.Get("http://" + p.address) //nolint:noctx // it is on this machine
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// memory is what the process has of the machine's now, and had at most.
func (p *process) memory(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("memory is read from /proc")
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}

// until waits until the phases of all rollouts are as wanted.
func (p *process) until(t *testing.T, client dynamic.Interface, enough func(phases map[string]int) bool) map[string]int {
	t.Helper()
	deadline := time.Now().Add(20 * time.Minute)
	for {
		time.Sleep(time.Second)
		list, err := client.Resource(kube.Rollouts).Namespace(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		phases := map[string]int{}
		for _, o := range list.Items {
			phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
			phases[phase]++
		}
		if enough(phases) {
			return phases
		}
		if time.Now().After(deadline) {
			t.Fatalf("after twenty minutes: %v", phases)
		}
	}
}

func sum(calls map[string]int) (n int) {
	for _, c := range calls {
		n += c
	}
	return n
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return strings.Fields(string(text))[0]
}

func report(b *strings.Builder, load string, took time.Duration, ran figures, atRest int, memory map[string]string, phases map[string]int, refused int) {
	n := *rollouts
	at := func(share float64) time.Duration {
		slices.Sort(ran.Took)
		return ran.Took[min(int(share*float64(len(ran.Took))), len(ran.Took)-1)].Round(100 * time.Microsecond)
	}
	fmt.Fprintf(b, "# A controller with many rollouts\n\n`RHEOSTAT_REAL=1 GOWORK=off go test ./controller -rollouts %d -idle %v -write -v -timeout 30m` in this directory writes this file.\n\n", n, *idle)
	fmt.Fprintf(b, "Machine: %s, %s/%s, %d processors, load average before the run %s.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load)
	fmt.Fprintf(b, `%d Rollouts begin at once, each with an Istio VirtualService of its own and three steps of two seconds: 5%%, 25%% and 100%%. One in ten
fails at 25%% and goes home. One process with one Controller carries them out (%d workers, no limit on requests); the API server and etcd,
real ones, run on the same machine, so that times are those of a machine with too much to do. A verdict's route is patched when the API server has
acknowledged the saved state and the patch that follows from it.

| what | figure |
|---|---|
| ended | %d promoted, %d rolled back, in %v |
| requests a rollout | %.1f |
| requests a minute at rest, all of them together | %.1f |
| from a verdict to the patched route, %d times | p50 %v, p90 %v, p99 %v |
| memory, at most | %s; at rest %s |
| writes with a stale fence | %d of %d refused |

| request | a rollout |
|---|---|
`, n, 8, phases[strategy.Promoted.String()], phases[strategy.RolledBack.String()], took.Round(time.Second), float64(sum(ran.Calls))/float64(n),
		float64(atRest)/idle.Minutes(), len(ran.Took), at(0.5), at(0.9), at(0.99), memory["VmHWM"], memory["VmRSS"], refused, n)
	for _, call := range slices.SortedFunc(maps.Keys(ran.Calls), func(a, b string) int { return ran.Calls[b] - ran.Calls[a] }) {
		fmt.Fprintf(b, "| %s | %.2f |\n", call, float64(ran.Calls[call])/float64(n))
	}
}

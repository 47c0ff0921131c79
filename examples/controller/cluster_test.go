// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

// replicaVariable makes the test binary be the controller.
const replicaVariable = "CONTROLLER_REPLICA"

func TestMain(m *testing.M) {
	if os.Getenv(replicaVariable) != "" {
		main()
		return
	}
	// A test mostly waits for the cluster, so more of them run at once than there are cores.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// shop is a namespace with the manifests in it, and an administrator who uses kubectl.
type shop struct {
	cluster   *kubetest.Cluster
	client    dynamic.Interface
	namespace string
	token     string // of the ServiceAccount
}

func newShop(t *testing.T) *shop {
	t.Helper()
	cluster := kubetest.Shared(t)
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	if err := run(t.Context(), []string{"-crd"}, &printed); err != nil {
		t.Fatal(err)
	}
	cluster.InstallCRDs(t, printed.String(), kubetest.CRDs(t, "gateway", "httproutes"))
	cluster.Apply(t, printed.String())
	s := &shop{cluster: cluster, client: client, namespace: cluster.Namespace(t)}
	s.apply(t, read(t, "manifests/rbac.yaml"))
	s.token = s.tokenOf(t, "rollouts")
	return s
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// apply is kubectl apply, into this namespace.
func (s *shop) apply(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	return s.cluster.Apply(t, strings.ReplaceAll(text, "namespace: shop", "namespace: "+s.namespace))
}

// tokenOf is what a pod of the ServiceAccount would have in its file system.
func (s *shop) tokenOf(t *testing.T, account string) string {
	t.Helper()
	request := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": map[string]any{"name": account}, "spec": map[string]any{},
	}}
	accounts := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(s.namespace)
	granted, err := accounts.Create(t.Context(), request, metav1.CreateOptions{}, "token")
	if err != nil {
		t.Fatal(err)
	}
	token, _, _ := unstructured.NestedString(granted.Object, "status", "token")
	return token
}

func (s *shop) get(ctx context.Context, resource schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	return s.client.Resource(resource).Namespace(s.namespace).Get(ctx, name, metav1.GetOptions{})
}

// patch is kubectl patch rollout.
func (s *shop) patch(ctx context.Context, name, text string, values ...any) error {
	_, err := s.client.Resource(rollouts).Namespace(s.namespace).
		Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, text, values...), metav1.PatchOptions{FieldManager: "kubectl-patch"})
	return err
}

// replica is a process of the controller: what a pod of its Deployment runs, with the
// rights of its ServiceAccount.
type replica struct {
	*front
	process *exec.Cmd
	address string // of its probes
	ended   chan error
}

func (s *shop) start(t *testing.T, args []string, environment ...string) *replica {
	t.Helper()
	r := &replica{front: newFront(t, s.cluster.Config()), ended: make(chan error, 1)}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
		clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %q}}], users: [{name: u, user: {token: %q}}]}`, r.url, r.certificate, s.token)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append(args, "-kubeconfig", kubeconfig, "-listen", "127.0.0.1:0", "-lease", "2s", "-poll", "100ms", "-lag", "1ms")
	r.process = exec.Command(os.Args[0], args...) //nolint:noctx // the test ends it, in one way or another
	r.process.Env = append(append(os.Environ(), replicaVariable+"=1"), environment...)
	out, in := io.Pipe()
	r.process.Stdout, r.process.Stderr = in, in
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	listens, printed := make(chan string, 1), make(chan []string, 1)
	go func() {
		var lines []string
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines = append(lines, scan.Text())
			if _, address, ok := strings.Cut(scan.Text(), "msg=listening address="); ok {
				listens <- address
			}
		}
		printed <- lines
	}()
	go func() {
		err := r.process.Wait()
		in.Close()
		r.ended <- err
		close(r.ended)
	}()
	t.Cleanup(func() {
		_ = r.process.Process.Kill() // most have ended by then
		err := <-r.ended
		if lines := <-printed; t.Failed() {
			t.Logf("replica %d ended with %v:\n%s", r.process.Process.Pid, err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	})
	select {
	case r.address = <-listens:
	case err := <-r.ended:
		t.Fatalf("the controller has ended: %v", err)
	}
	return r
}

// front stands between a replica and the API server, and notes what it is asked for.
type front struct {
	url         string
	certificate string // in PEM, and that in base64

	mu     sync.Mutex
	used   map[string]bool // as in a Role: "patch apps/deployments"
	denied map[string]bool
	turns  map[string]int // writes of the status of a Rollout
}

func newFront(t *testing.T, config *rest.Config) *front {
	t.Helper()
	transport, err := rest.TransportFor(&rest.Config{Host: config.Host, TLSClientConfig: config.TLSClientConfig})
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{used: map[string]bool{}, denied: map[string]bool{}, turns: map[string]int{}}
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) }, Transport: transport, FlushInterval: -1,
		ModifyResponse: f.note, ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(proxy.Close)
	f.url = proxy.URL // a client sends its token to nobody who has no certificate
	f.certificate = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}))
	return f
}

func (f *front) note(response *http.Response) error {
	right, name := rightFor(response.Request)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized:
		f.denied[right] = true
	case right == "patch "+rollouts.Group+"/rollouts/status":
		f.turns[name]++
		fallthrough
	default:
		f.used[right] = true
	}
	return nil
}

// turnsOf is how often the replica has written a Rollout's status.
func (f *front) turnsOf(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.turns[name]
}

// rightFor is what a Role must grant for a request, and the object's name.
func rightFor(r *http.Request) (right, name string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	if parts[0] == "apis" {
		group, parts = parts[1], parts[1:]
	}
	if parts = parts[2:]; len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource := parts[0]
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPatch: "patch", http.MethodPut: "update", http.MethodDelete: "delete", http.MethodGet: "get"}[r.Method]
	if verb == "get" && name == "" {
		verb = "list"
		if r.URL.Query().Get("watch") != "" {
			verb = "watch"
		}
	}
	return verb + " " + group + "/" + resource, name
}

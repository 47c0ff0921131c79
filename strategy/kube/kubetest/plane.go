// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

//go:embed stages.yaml
var stages []byte

// nodeName is the one node there is.
const nodeName = "n1"

// processes are the programs with their flags.
func (c *Cluster) processes(found programs, ports []int) map[Program]*process {
	client, peer := loopback(ports[0]), loopback(ports[1])
	in := func(name string) string { return filepath.Join(c.dir, name) }
	args := map[Program][]string{
		Etcd: {
			"--data-dir=" + in("etcd"), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=default=" + peer,
		},
		APIServer: {
			"--etcd-servers=" + client, "--cert-dir=" + c.dir,
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
			"--authorization-mode=RBAC", "--token-auth-file=" + in("tokens.csv"),
			"--service-cluster-ip-range=10.0.0.0/24",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + in("sa.key"), "--service-account-signing-key-file=" + in("sa.key"),
			// Pods need no account, and so need not wait for one.
			"--disable-admission-plugins=ServiceAccount",
			"--endpoint-reconciler-type=none", "--enable-priority-and-fairness=false",
		},
		ControllerManager: {
			"--kubeconfig=" + c.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
			"--service-account-private-key-file=" + in("sa.key"),
			"--kube-api-qps=500", "--kube-api-burst=1000",
		},
		Scheduler: {
			"--kubeconfig=" + c.Kubeconfig(), "--leader-elect=false", "--secure-port=0",
			"--kube-api-qps=500", "--kube-api-burst=1000",
		},
		Kwok: {
			"--kubeconfig=" + c.Kubeconfig(), "--manage-all-nodes", "--config=" + in("stages.yaml"),
			"--node-ip=127.0.0.1", "--node-lease-duration-seconds=40",
		},
	}
	all := map[Program]*process{}
	for _, name := range c.order {
		path, first := found.command(name)
		all[name] = &process{
			path: path, args: append(first, args[name]...), log: c.logFile(name),
			// kwok reads a configuration of the user's, etcd reads ETCD_*: nothing of that.
			env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir},
		}
	}
	return all
}

func loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// writeFiles writes what the programs read, and sets the configuration of the clients.
func (c *Cluster) writeFiles(port int) error {
	host := fmt.Sprintf("https://127.0.0.1:%d", port)
	ca := filepath.Join(c.dir, "apiserver.crt") // the server writes it, signed by itself
	key, err := serviceAccountKey()
	if err != nil {
		return err
	}
	kubeconfig := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: kubetest, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: kubetest, context: {cluster: kubetest, user: admin}}]
current-context: kubetest
`, host, ca, token)
	for name, text := range map[string][]byte{
		"kubeconfig":  []byte(kubeconfig),
		"tokens.csv":  []byte(token + ",admin,admin,system:masters\n"),
		"sa.key":      key,
		"stages.yaml": stages,
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	c.config = &rest.Config{
		Host: host, BearerToken: token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: ca},
	}
	return nil
}

func serviceAccountKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// freePorts finds ports that nobody listens on. They are below the range from which
// systems take ports for outgoing connections, so that a server that was killed finds its
// own free when it comes back.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 20000 + mathrand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		if slices.Contains(ports, port) {
			continue
		}
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("found %d free ports of %d between 20000 and 32000", len(ports), n)
}

// ready waits until the API server says that it is.
func (c *Cluster) ready(ctx context.Context) error {
	return c.poll(ctx, "the API server", func(ctx context.Context) error {
		_, err := c.get(ctx, "/readyz")
		return err
	})
}

// get reads a path of the server that is no object.
func (c *Cluster) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	config := c.Config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.1000s", path, response.Status, text)
	}
	return text, err
}

var nodes = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}

// addNode creates the node and waits until pods may run there.
func (c *Cluster) addNode(ctx context.Context) error {
	if c.options.APIOnly {
		return nil
	}
	node := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{
			"name":   nodeName,
			"labels": map[string]any{"kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux"},
		},
	}}
	if _, err := c.client.Resource(nodes).Create(ctx, node, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return c.poll(ctx, "the node", func(ctx context.Context) error {
		node, err := c.client.Resource(nodes).Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		taints, _, err := unstructured.NestedSlice(node.Object, "spec", "taints")
		if err == nil && (len(taints) > 0 || !conditionTrue(node, "Ready")) {
			err = fmt.Errorf("it has the taints %v, and the status %v", taints, node.Object["status"])
		}
		return err
	})
}

// conditionTrue says whether the status of an object has the condition, and it is true.
func conditionTrue(u *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions") // of another shape is not true either
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c["status"] == "True"
		}
	}
	return false
}

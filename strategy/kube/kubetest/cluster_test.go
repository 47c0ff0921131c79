// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/strategy/kube/kubetest"
)

var (
	deployments    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods           = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

const web = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: %[1]s}
spec:
  replicas: 5
  progressDeadlineSeconds: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:%[2]s"}]}
`

func clientOf(t *testing.T, c *kubetest.Cluster) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func rolledOut(t *testing.T, client dynamic.Interface, namespace string) {
	t.Helper()
	kubetest.Eventually(t, "the rollout of "+namespace, func(ctx context.Context) error {
		u, err := client.Resource(deployments).Namespace(namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
		updated, _, _ := unstructured.NestedInt64(u.Object, "status", "updatedReplicas")
		available, _, _ := unstructured.NestedInt64(u.Object, "status", "availableReplicas")
		total, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
		if observed != u.GetGeneration() || updated != 5 || available != 5 || total != 5 {
			return fmt.Errorf("updated %d, available %d of %d", updated, available, total)
		}
		return nil
	})
}

func TestADeploymentRollsOutAndStopsAtABrokenImage(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	client, namespace := clientOf(t, cluster), cluster.Namespace(t)

	cluster.Apply(t, fmt.Sprintf(web, namespace, "1"))
	rolledOut(t, client, namespace)
	kubetest.Eventually(t, "five ready endpoints", func(ctx context.Context) error {
		list, err := client.Resource(endpointSlices).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
		if err != nil {
			return err
		}
		ready := 0
		for _, slice := range list.Items {
			endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
			for _, e := range endpoints {
				if strings.Contains(fmt.Sprint(e), "ready:true") {
					ready++
				}
			}
		}
		if ready != 5 {
			return fmt.Errorf("%d ready endpoints", ready)
		}
		return nil
	})

	for _, tag := range []string{"2-broken", "3-crash"} {
		cluster.Apply(t, fmt.Sprintf(web, namespace, tag))
		kubetest.Eventually(t, "a rollout that is stuck", func(ctx context.Context) error {
			return stuck(ctx, client, namespace)
		})
		want := map[string]string{"2-broken": "ImagePullBackOff", "3-crash": "CrashLoopBackOff"}[tag]
		kubetest.Eventually(t, "a pod that waits with "+want, func(ctx context.Context) error {
			list, err := client.Resource(pods).Namespace(namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			if !strings.Contains(fmt.Sprint(list.Items), "reason:"+want) {
				return errors.New("no pod does")
			}
			return nil
		})
	}
	cluster.Apply(t, fmt.Sprintf(web, namespace, "1"))
	rolledOut(t, client, namespace)
}

// stuck is nil when the Deployment has exceeded its progress deadline and still has 4 of 5.
func stuck(ctx context.Context, client dynamic.Interface, namespace string) error {
	u, err := client.Resource(deployments).Namespace(namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if observed != u.GetGeneration() {
		return errors.New("not seen yet")
	}
	if available, _, _ := unstructured.NestedInt64(u.Object, "status", "availableReplicas"); available != 4 {
		return fmt.Errorf("%d available", available)
	}
	if c := condition(u, "Progressing"); c["reason"] != "ProgressDeadlineExceeded" || c["status"] != "False" {
		return fmt.Errorf("the condition is %v", c)
	}
	return nil
}

// condition is one of the status, or nil.
func condition(u *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

func TestASlowImageIsReadyAfterItsTime(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	client, namespace := clientOf(t, cluster), cluster.Namespace(t)
	cluster.Apply(t, `
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: `+namespace+`, annotations: {kubetest/ready-after: 5s}}
spec: {containers: [{name: a, image: "a:slow"}]}
`)
	kubetest.Eventually(t, "a slow pod", func(ctx context.Context) error {
		u, err := client.Resource(pods).Namespace(namespace).Get(ctx, "slow", metav1.GetOptions{})
		if err != nil {
			return err
		}
		ready := condition(u, "Ready")
		if ready["status"] != "True" {
			return errors.New("not ready")
		}
		at, err := time.Parse(time.RFC3339, fmt.Sprint(ready["lastTransitionTime"]))
		if err != nil {
			t.Fatal(err)
		}
		if took := at.Sub(u.GetCreationTimestamp().Time); took < 5*time.Second {
			t.Errorf("it was ready after %v, want 5s or more", took)
		}
		return nil
	})
}

func TestAServerThatIsKilledComesBackWithWhatItHad(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true})
	client, namespace := clientOf(t, cluster), cluster.Namespace(t)
	maps := client.Resource(configMaps).Namespace(namespace)
	cluster.Apply(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: "+namespace+"}\ndata: {k: v}\n")
	before, err := maps.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	cluster.KillAPIServer(t)
	if _, err := maps.Get(t.Context(), "a", metav1.GetOptions{}); err == nil {
		t.Fatal("a server that was killed answers")
	}
	cluster.StartAPIServer(t)
	for _, part := range []kubetest.Program{kubetest.APIServer, kubetest.Etcd} {
		cluster.Kill(t, part)
		cluster.Restart(t, part)
		kubetest.Eventually(t, "what "+string(part)+" had", func(ctx context.Context) error {
			after, err := maps.Get(ctx, "a", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if after.GetUID() != before.GetUID() || after.GetResourceVersion() != before.GetResourceVersion() {
				t.Errorf("%s brought back another object: %v", part, after)
			}
			return nil
		})
	}
}

func TestAServerThatIsPausedSaysNothing(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true})
	client := clientOf(t, cluster)
	cluster.PauseAPIServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.Resource(configMaps).List(ctx, metav1.ListOptions{}); err == nil || ctx.Err() == nil {
		t.Fatalf("a paused server answers %v", err)
	}
	cluster.ResumeAPIServer(t)
	if _, err := client.Resource(configMaps).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatalf("once it goes on: %v", err)
	}
}

func TestTwoControlPlanesKnowNothingOfEachOther(t *testing.T) {
	t.Parallel()
	a, b := kubetest.Start(t, kubetest.Options{APIOnly: true}), kubetest.Start(t, kubetest.Options{APIOnly: true})
	a.Apply(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
	if _, err := clientOf(t, a).Resource(configMaps).Namespace("default").Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := clientOf(t, b).Resource(configMaps).Namespace("default").Get(t.Context(), "a", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the other one has it too: %v", err)
	}
}

func TestADefinitionIsServedWhenItIsInstalled(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	namespace := cluster.Namespace(t)
	for range 2 { // the second time there is nothing to do
		cluster.InstallCRDs(t, kubetest.CRDs(t, "gateway", "httproutes"), kubetest.CRDs(t, "istio", "virtualservices"),
			kubetest.CRDs(t, "traefik", "traefikservices"), kubetest.CRDs(t, "contour", "httpproxies"))
	}
	applied := cluster.Apply(t, fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: %[1]s}
spec: {rules: [{backendRefs: [{name: web, port: 80, weight: 9}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: %[1]s}
spec: {hosts: [a.example], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: a, namespace: %[1]s}
spec: {weighted: {services: [{name: web, port: 80, weight: 3}]}}
---
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: a, namespace: %[1]s}
spec: {routes: [{services: [{name: web, port: 80, weight: 3}]}]}
`, namespace))
	if len(applied) != 4 {
		t.Fatalf("applied %d objects, want 4", len(applied))
	}
	for _, u := range applied {
		if u.GetUID() == "" {
			t.Errorf("%s has no UID", u.GetKind())
		}
	}
}

func TestTheKubeconfigIsForPrograms(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	text, err := os.ReadFile(cluster.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     string `json:"certificate-authority"`
			}
		}
		Users []struct{ User struct{ Token string } }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{
		Host: file.Clusters[0].Cluster.Server, BearerToken: file.Users[0].User.Token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: file.Clusters[0].Cluster.CA},
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Resource(configMaps).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAReplyIsLostAfterTheWriteIsDone(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	namespace := cluster.Namespace(t)
	cluster.Apply(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: "+namespace+"}\n")
	faults := &kubetest.Faults{Rates: kubetest.Rates{Lost: 1}}
	config := cluster.Config()
	config.Wrap(faults.Wrap)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Resource(configMaps).Namespace(namespace).
		Patch(t.Context(), "a", types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{})
	if !timedOut(err) {
		t.Fatalf("the client sees %v", err)
	}
	u, err := clientOf(t, cluster).Resource(configMaps).Namespace(namespace).Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, _, _ := unstructured.NestedString(u.Object, "data", "k"); v != "v" {
		t.Errorf("the write was not done: %v", u)
	}
}

func TestAClientMayBeSomebodyElse(t *testing.T) {
	t.Parallel()
	cluster := kubetest.Shared(t)
	config := cluster.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: "somebody"}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Resource(configMaps).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("somebody without a role sees %v", err)
	}
}

// TestHelperProcess is the test that TestNothingOutlivesATestThatIsKilled kills.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("KUBETEST_HELPER_DIR")
	if dir == "" {
		t.Skip("it is a process of another test")
	}
	cluster := kubetest.Start(t, kubetest.Options{APIOnly: true, Dir: dir})
	fmt.Println(cluster.Config().Host)
	time.Sleep(time.Minute) // it is killed long before
}

func TestNothingOutlivesATestThatIsKilled(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	kubetest.CRDs(t, "contour") // or skip, where there are no programs
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "KUBETEST_HELPER_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var host string
	for lines := bufio.NewScanner(out); host == "" && lines.Scan(); {
		_, host, _ = strings.Cut(lines.Text(), "https://")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed, which is no news
	if host == "" {
		t.Fatal("the helper started nothing")
	}
	kubetest.Eventually(t, "the end of everything", func(ctx context.Context) error {
		if connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", host); err == nil {
			connection.Close()
			return errors.New("the API server still listens")
		}
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("the folder holds %v", entries)
		}
		return err
	})
}

func TestNothingIsLeftInTheFolder(t *testing.T) {
	dir := t.TempDir()
	t.Run("cluster", func(t *testing.T) {
		kubetest.Start(t, kubetest.Options{APIOnly: true, Dir: dir})
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Fatalf("the folder holds %v, %v", entries, err)
		}
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rheostat-go/rheostat/internal/kubefake"
	"github.com/rheostat-go/rheostat/rollback"
	"github.com/rheostat-go/rheostat/rollback/kube"
)

const namespace = "prod"

func apps(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: resource}
}

var podsOf = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// kinds are the three of them: how a test makes a target, and what its controller writes.
var kinds = map[string]struct {
	make   func(dynamic.Interface, string, string, kube.Options) (*kube.Target, error)
	gvr    schema.GroupVersionResource
	status map[string]any
}{
	"Deployment": {kube.Deployment, apps("deployments"), map[string]any{
		"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2,
	}},
	"StatefulSet": {kube.StatefulSet, apps("statefulsets"), map[string]any{
		"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2,
	}},
	"DaemonSet": {kube.DaemonSet, apps("daemonsets"), map[string]any{
		"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2,
	}},
}

// world is an API server in memory with one workload, whose controller is done before the
// next request of anybody. The real ones are tried in real_test.go.
type world struct {
	tb     testing.TB
	kind   string
	server *kubefake.Server
	client dynamic.Interface
	// other is the client of the controller and of other people.
	other dynamic.Interface
	// asleep stops the controller.
	asleep bool
	// status is what the controller writes into the status, besides the generation.
	status map[string]any

	mu sync.Mutex
}

// header marks requests that the controller does not run before.
const header = "X-Other"

type marking struct{ to http.RoundTripper }

func (m marking) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(header, "1")
	return m.to.RoundTrip(req)
}

func newWorld(tb testing.TB, kind string) *world {
	tb.Helper()
	w := &world{tb: tb, kind: kind, server: kubefake.New(), status: maps.Clone(kinds[kind].status)}
	client := func(config *rest.Config) dynamic.Interface {
		c, err := dynamic.NewForConfig(config)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	w.client = client(w.server.Config())
	config := w.server.Config()
	config.Transport = marking{w.server}
	w.other = client(config)
	w.server.Before = func(req *http.Request) int {
		if req.Header.Get(header) == "" {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.control()
		}
		return 0
	}
	return w
}

// withHistory is a world that has run these images one after the other.
func withHistory(tb testing.TB, kind string, images ...string) *world {
	tb.Helper()
	w := newWorld(tb, kind)
	w.server.Add(kinds[kind].gvr, kind, namespace, "web", map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{"team": "shop"}},
		"spec": map[string]any{
			"replicas": 2, "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec": map[string]any{
					"containers": []any{map[string]any{"name": "web", "image": images[0]}},
					"volumes":    []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}},
				},
			},
		},
	})
	w.look()
	for _, image := range images[1:] {
		w.deploy(image)
	}
	return w
}

func (w *world) target(o kube.Options) *kube.Target {
	w.tb.Helper()
	t, err := kinds[w.kind].make(w.client, namespace, "web", o)
	if err != nil {
		w.tb.Fatal(err)
	}
	return t
}

// look lets the controller run.
func (w *world) look() *unstructured.Unstructured {
	w.tb.Helper()
	u, err := w.client.Resource(kinds[w.kind].gvr).Namespace(namespace).Get(w.tb.Context(), "web", metav1.GetOptions{})
	if err != nil {
		w.tb.Fatal(err)
	}
	return u
}

// patch changes the workload as somebody else does.
func (w *world) patch(manager, text string) {
	w.tb.Helper()
	_, err := w.other.Resource(kinds[w.kind].gvr).Namespace(namespace).
		Patch(w.tb.Context(), "web", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		w.tb.Fatal(err)
	}
}

func image(image string) string {
	return fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"web","image":%q}]}}}}`, image)
}

func (w *world) deploy(name string) {
	w.tb.Helper()
	w.patch("ci", image(name))
	w.look()
}

// control is the workload's controller: it keeps the template, and says that all is well.
func (w *world) control() {
	u, err := w.other.Resource(kinds[w.kind].gvr).Namespace(namespace).Get(context.Background(), "web", metav1.GetOptions{})
	if err != nil || w.asleep {
		return
	}
	if w.kind == "Deployment" {
		w.keepReplicaSet(u)
	} else {
		w.keepRevision(u)
	}
	status, err := json.Marshal(map[string]any{"status": w.status})
	if err != nil {
		panic(err)
	}
	u, err = w.other.Resource(kinds[w.kind].gvr).Namespace(namespace).Get(context.Background(), "web", metav1.GetOptions{})
	if err != nil {
		panic(err)
	}
	text := strings.Replace(string(status), `"status":{`, fmt.Sprintf(`"status":{"observedGeneration":%d,`, u.GetGeneration()), 1)
	if _, err := w.other.Resource(kinds[w.kind].gvr).Namespace(namespace).
		Patch(context.Background(), "web", types.MergePatchType, []byte(text), metav1.PatchOptions{FieldManager: "controller"}, "status"); err != nil {
		panic(err)
	}
}

func nested(u *unstructured.Unstructured, path ...string) map[string]any {
	m, _, err := unstructured.NestedMap(u.Object, path...)
	if err != nil {
		panic(err)
	}
	return m
}

func hash(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// owned is the metadata of something that the workload controls.
func owned(u *unstructured.Unstructured, name string, notes map[string]any) map[string]any {
	return map[string]any{
		"name": name, "labels": map[string]any{"app": "web"}, "annotations": notes,
		"ownerReferences": []any{map[string]any{
			"apiVersion": "apps/v1", "kind": u.GetKind(), "name": u.GetName(), "uid": string(u.GetUID()), "controller": true,
		}},
	}
}

// next is the highest number in use, and one more.
func (w *world) next(resource string, number func(u *unstructured.Unstructured) int64) int64 {
	list, err := w.other.Resource(apps(resource)).Namespace(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		panic(err)
	}
	n := int64(0)
	for i := range list.Items {
		n = max(n, number(&list.Items[i]))
	}
	return n + 1
}

const revisionNote = "deployment.kubernetes.io/revision"

func numberOf(u *unstructured.Unstructured) int64 {
	n, err := strconv.ParseInt(u.GetAnnotations()[revisionNote], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// keepReplicaSet makes the ReplicaSet of the template, or gives the one that is there the
// next number, and copies annotations as the real one does.
func (w *world) keepReplicaSet(u *unstructured.Unstructured) {
	template := nested(u, "spec", "template")
	sum := hash(template)
	name := "web-" + sum
	notes := map[string]any{}
	for k, v := range u.GetAnnotations() {
		if k != revisionNote {
			notes[k] = v
		}
	}
	if old := w.server.Object(apps("replicasets"), namespace, name); old != nil {
		o := &unstructured.Unstructured{Object: old}
		number := numberOf(o)
		if next := w.next("replicasets", numberOf); number != next-1 {
			number = next
		}
		notes[revisionNote] = strconv.FormatInt(number, 10)
		w.annotate(apps("replicasets"), name, notes)
		w.annotate(apps("deployments"), "web", map[string]any{revisionNote: notes[revisionNote]})
		return
	}
	notes[revisionNote] = strconv.FormatInt(w.next("replicasets", numberOf), 10)
	meta, _ := template["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	labels["pod-template-hash"] = sum
	w.server.Add(apps("replicasets"), "ReplicaSet", namespace, name, map[string]any{
		"metadata": owned(u, name, notes), "spec": map[string]any{"template": template},
	})
	w.annotate(apps("deployments"), "web", map[string]any{revisionNote: notes[revisionNote]})
}

func (w *world) annotate(gvr schema.GroupVersionResource, name string, notes map[string]any) {
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": notes}})
	if err == nil {
		_, err = w.other.Resource(gvr).Namespace(namespace).
			Patch(context.Background(), name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: "controller"})
	}
	if err != nil {
		panic(err)
	}
}

// keepRevision makes the ControllerRevision of the template, or gives it the next number.
func (w *world) keepRevision(u *unstructured.Unstructured) {
	template := nested(u, "spec", "template")
	name := "web-" + hash(template)
	template["$patch"] = "replace"
	number := func(u *unstructured.Unstructured) int64 {
		n, _, err := unstructured.NestedInt64(u.Object, "revision")
		if err != nil {
			panic(err)
		}
		return n
	}
	next := w.next("controllerrevisions", number)
	old := w.server.Object(apps("controllerrevisions"), namespace, name)
	if old != nil && number(&unstructured.Unstructured{Object: old}) == next-1 {
		return
	}
	w.server.Add(apps("controllerrevisions"), "ControllerRevision", namespace, name, map[string]any{
		"metadata": owned(u, name, nil), "revision": next,
		"data": map[string]any{"spec": map[string]any{"template": template}},
	})
}

// revision is the one with this image.
func revision(tb testing.TB, t *kube.Target, image string) rollback.Revision {
	tb.Helper()
	return entry(tb, t, image).Revision
}

func entry(tb testing.TB, t *kube.Target, image string) kube.Entry {
	tb.Helper()
	entries, err := t.Revisions(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if len(e.Images) > 0 && e.Images[0] == image {
			return e
		}
	}
	tb.Fatalf("no revision has the image %s: %+v", image, entries)
	return kube.Entry{}
}

func current(tb testing.TB, t *kube.Target) (rollback.Revision, rollback.Token) {
	tb.Helper()
	r, token, err := t.Current(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return r, token
}

// interleave calls f, and the controller after it, before each patch of the target: the
// moment between its reading and its writing.
func (w *world) interleave(f func()) {
	before := w.server.Before
	w.server.Before = func(req *http.Request) int {
		if req.Method == http.MethodPatch && req.Header.Get(header) == "" {
			f()
		}
		return before(req)
	}
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/rollback"
)

const (
	revisionNote = "deployment.kubernetes.io/revision"
	causeNote    = "kubernetes.io/change-cause"
	restartNote  = "kubectl.kubernetes.io/restartedAt"
	hashLabel    = "pod-template-hash"
	// returnsNote remembers the keys that were applied.
	returnsNote = "rheostat.dev/returns"
	// levelNote, on a pod template, is [rollback.Revision]'s Level.
	levelNote = "rheostat.dev/level"

	onDelete = "OnDelete"
)

// workload is one as it was read, and what follows from it.
type workload struct {
	u        *unstructured.Unstructured
	template map[string]any
	current  rollback.Revision
	token    rollback.Token
	returns  returns
}

func (t *Target) workload(u *unstructured.Unstructured) (*workload, error) {
	w := &workload{u: u}
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return nil, fmt.Errorf("kube: %v: %w", t, err)
	}
	w.template = template
	if w.current, err = t.revision(template); err != nil {
		return nil, err
	}
	if note := u.GetAnnotations()[returnsNote]; note != "" {
		if err := json.Unmarshal([]byte(note), &w.returns); err != nil {
			return nil, fmt.Errorf("kube: %v: annotation %s is not ours any more: %w; remove it", t, returnsNote, err)
		}
	}
	w.token, err = token(u)
	return w, err
}

// token is made of everything that somebody decides about a workload, and of nothing that
// its controller tells about it.
func token(u *unstructured.Unstructured) (rollback.Token, error) {
	notes := u.GetAnnotations()
	delete(notes, revisionNote) // a copy: the Deployment's controller writes it
	sum, err := digest(map[string]any{
		"uid": string(u.GetUID()), "spec": u.Object["spec"], "labels": u.GetLabels(), "annotations": notes,
	})
	return rollback.Token(sum), err
}

// revision is what a pod template is, whoever carries it.
func (t *Target) revision(template map[string]any) (rollback.Revision, error) {
	sum, err := digest(content(template))
	if err != nil {
		return rollback.Revision{}, fmt.Errorf("kube: %v: %w", t, err)
	}
	r := rollback.Revision{ID: t.name + "-" + sum[:10], Digest: "template:" + sum}
	note, _, err := unstructured.NestedString(template, "metadata", "annotations", levelNote)
	if err != nil || note == "" {
		return r, err
	}
	if r.Level, err = strconv.ParseUint(note, 10, 64); err != nil {
		return r, fmt.Errorf("kube: %v: annotation %s of its pods is %q; want a whole number", t, levelNote, note)
	}
	return r, nil
}

func digest(v any) (string, error) {
	text, err := json.Marshal(v) // maps by sorted keys
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// content is the template without what says nothing about the pods: the label and the
// annotation that tell copies of it apart, what is null, and lists without entries.
func content(template map[string]any) map[string]any {
	meta, _ := template["metadata"].(map[string]any)
	tidy := map[string]any{}
	if labels := without(meta["labels"], hashLabel); len(labels) > 0 {
		tidy["labels"] = labels
	}
	if notes := without(meta["annotations"], restartNote); len(notes) > 0 {
		tidy["annotations"] = notes
	}
	return map[string]any{"metadata": tidy, "spec": lean(template["spec"])}
}

func without(v any, key string) map[string]any {
	m, _ := v.(map[string]any)
	m = maps.Clone(m)
	delete(m, key)
	return m
}

// lean is v without nulls and empty lists, which say the same as nothing. An empty object
// says something: emptyDir, or a selector of everything.
func lean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			if list, ok := value.([]any); value != nil && (!ok || len(list) > 0) {
				out[name] = lean(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = lean(v[i])
		}
		return out
	}
	return v
}

// applied is a decision that was carried out.
type applied struct {
	Key string `json:"key"`
	To  string `json:"to"`
}

// returns are the last ones, the newest at the end.
type returns []applied

const maxReturns = 16

func (r returns) find(key string) (applied, bool) {
	for _, a := range r {
		if a.Key == key {
			return a, true
		}
	}
	return applied{}, false
}

// number is a field, or what it is when it is not set.
func (w *workload) number(unset int64, path ...string) int64 {
	n, ok, err := unstructured.NestedInt64(w.u.Object, path...)
	if err != nil || !ok {
		return unset
	}
	return n
}

func (w *workload) text(path ...string) string {
	s, _, err := unstructured.NestedString(w.u.Object, path...)
	if err != nil {
		return ""
	}
	return s
}

func (w *workload) strategy() string { return w.text("spec", "updateStrategy", "type") }

// partition is the lowest ordinal of a StatefulSet that is updated.
func (w *workload) partition() int64 {
	return w.number(0, "spec", "updateStrategy", "rollingUpdate", "partition")
}

// writer is who changed the template last, in words that follow its name.
func (w *workload) writer() string {
	last, ok := kube.LastWrite(w.u.GetManagedFields(), "spec", "template")
	if !ok {
		return ""
	}
	return fmt.Sprintf(", whose template %s wrote last (%s)", strings.TrimSpace(last.Manager), last.At.UTC().Format(time.RFC3339))
}

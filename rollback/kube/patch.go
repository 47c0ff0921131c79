// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/rollback"
)

// kept are the annotations that are about the Deployment as it is, whatever it runs.
var kept = []string{
	"kubectl.kubernetes.io/last-applied-configuration",
	revisionNote,
	"deployment.kubernetes.io/revision-history",
	"deployment.kubernetes.io/desired-replicas",
	"deployment.kubernetes.io/max-replicas",
	"deprecated.deployment.rollback.to",
}

// patch is the merge patch that goes to a revision. It names the object and the version
// that it was made for, so that the server refuses it for any other.
func (t *Target) patch(ctx context.Context, w *workload, to rollback.Revision, key string) ([]byte, error) {
	if err := t.allowed(w); err != nil {
		return nil, err
	}
	entry, err := t.find(ctx, w, to)
	if err != nil {
		return nil, err
	}
	notes := map[string]any{}
	for name, value := range entry.notes {
		if !slices.Contains(kept, name) && !strings.HasPrefix(name, "rheostat.dev/") {
			notes[name] = value
		}
	}
	done, err := json.Marshal(append(w.returns[max(0, len(w.returns)-maxReturns+1):], applied{key, to.Digest}))
	if err != nil {
		return nil, err
	}
	notes[returnsNote] = string(done)
	notes[causeNote] = t.cause(w.current, to, key)
	patch := map[string]any{"metadata": map[string]any{
		"uid": w.u.GetUID(), "resourceVersion": w.u.GetResourceVersion(), "annotations": notes,
	}}
	if w.current.Digest != to.Digest {
		change, _ := difference(w.template, dropNulls(entry.template))
		patch["spec"] = map[string]any{"template": change}
	}
	return json.Marshal(patch)
}

func (t *Target) cause(from, to rollback.Revision, key string) string {
	if t.o.Cause != nil {
		return t.o.Cause(from, to, key)
	}
	return fmt.Sprintf("rollback from %s to %s (%s)", from.ID, to.ID, key)
}

// difference is the merge patch (RFC 7396) that makes want of have, and whether there is
// one. Lists are replaced as a whole.
func difference(have, want map[string]any) (map[string]any, bool) {
	patch := map[string]any{}
	for name := range have {
		if _, ok := want[name]; !ok {
			patch[name] = nil
		}
	}
	for name, value := range want {
		below, isMap := value.(map[string]any)
		had, wasMap := have[name].(map[string]any)
		if isMap && wasMap {
			if change, differs := difference(had, below); differs {
				patch[name] = change
			}
			continue
		}
		if !reflect.DeepEqual(have[name], value) {
			patch[name] = value
		}
	}
	return patch, len(patch) > 0
}

// dropNulls is m without the fields that are null: in a patch they would delete.
func dropNulls(m map[string]any) map[string]any {
	m = maps.Clone(m)
	for name, value := range m {
		switch value := value.(type) {
		case nil:
			delete(m, name)
		case map[string]any:
			m[name] = dropNulls(value)
		}
	}
	return m
}

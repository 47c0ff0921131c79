// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rheostat-go/rheostat/internal/kube"
	"github.com/rheostat-go/rheostat/strategy"
)

// config names a ConfigMap or a Secret.
type config struct{ kind, name string }

func (c config) String() string { return c.kind + "/" + c.name }

func (c config) resource() schema.GroupVersionResource {
	if c.kind == "Secret" {
		return secrets
	}
	return configMaps
}

// freeze makes a template use copies of the ConfigMaps and Secrets of Options.Configs that
// are named by what is in them now. Copies that an earlier rollout made are told by their
// note, so that the original is looked at again.
func (c capacity) freeze(ctx context.Context, stable deployment, template map[string]any) error {
	if len(c.o.Configs) == 0 {
		return nil
	}
	return rename(template, func(used config) (string, error) {
		source, err := c.source(ctx, used)
		if err != nil || source.name == "" {
			return used.name, err
		}
		o, err := c.get(ctx, source.resource(), source.name)
		if err != nil {
			return "", err
		}
		if o == nil {
			if used != source {
				return used.name, nil // what the last rollout used is still there
			}
			return "", fmt.Errorf("%v is not there, and the candidate needs it", source)
		}
		return c.copy(ctx, o, source, stable)
	})
}

// source is what a name used in a template is a copy of, or itself; the zero config is
// something that Options.Configs does not name.
func (x *Workload) source(ctx context.Context, used config) (config, error) {
	if slices.Contains(x.o.Configs, used.String()) {
		return used, nil
	}
	if !slices.ContainsFunc(x.o.Configs, func(c string) bool { return strings.HasPrefix(used.String(), c+"-") }) {
		return config{}, nil
	}
	o, err := x.get(ctx, used.resource(), used.name)
	if err != nil || o == nil {
		return config{}, err
	}
	source := config{used.kind, o.GetAnnotations()[sourceNote]}
	if !slices.Contains(x.o.Configs, source.String()) {
		return config{}, nil
	}
	return source, nil
}

// copy makes the copy of a ConfigMap or Secret as it is, and names it.
func (x *Workload) copy(ctx context.Context, o *unstructured.Unstructured, source config, stable deployment) (string, error) {
	if field[string](o.Object, "type") == "kubernetes.io/service-account-token" {
		return "", fmt.Errorf("%v is the token of a ServiceAccount, which cannot be copied: leave it out of Options.Configs", source)
	}
	content := contentOf(o)
	name := source.name
	suffix := "-" + hash(content)[:10]
	name = name[:min(len(name), 253-len(suffix))] + suffix
	made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": source.kind, "immutable": true}}
	maps.Copy(made.Object, content)
	made.SetName(name)
	made.SetNamespace(x.o.Namespace)
	made.SetLabels(map[string]string{copyLabel: "true"})
	note(made, sourceNote, source.name)
	made.SetOwnerReferences([]metav1.OwnerReference{ownedBy(stable)})
	_, err := x.api(source.resource()).Create(ctx, made, metav1.CreateOptions{FieldManager: kube.Manager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("copy %v to %s: %w", source, name, err)
	}
	if err == nil {
		return name, nil
	}
	there, err := x.get(ctx, source.resource(), name)
	switch {
	case err != nil:
		return "", err
	case there == nil:
		return "", fmt.Errorf("%s was removed while it was looked at", name)
	case there.GetDeletionTimestamp() != nil:
		return "", fmt.Errorf("%s is being removed", name)
	case hash(contentOf(there)) != hash(content):
		return "", fmt.Errorf("%s/%s exists and is something else than a copy of %v", source.kind, name, source)
	}
	return name, x.own(ctx, config{source.kind, name}, stable, true)
}

func contentOf(o *unstructured.Unstructured) map[string]any {
	content := map[string]any{}
	for _, key := range []string{"data", "binaryData", "type"} {
		if v, ok := o.Object[key]; ok {
			content[key] = v
		}
	}
	return content
}

func ownedBy(d deployment) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: d.GetName(), UID: d.GetUID()}
}

// adopt makes the candidate's Deployment an owner of the copies that it uses, beside
// stable's: they go when both are gone.
func (c capacity) adopt(ctx context.Context, candidate deployment) error {
	for _, used := range usedBy(candidate.template()) {
		source, err := c.source(ctx, used)
		if err != nil {
			return err
		}
		if source.name == "" || source == used {
			continue
		}
		if err := c.own(ctx, used, candidate, true); err != nil {
			return err
		}
	}
	return nil
}

// own adds an owner to a copy, or removes it; what nobody owns any more is removed.
func (x *Workload) own(ctx context.Context, c config, d deployment, owns bool) error {
	o, err := x.get(ctx, c.resource(), c.name)
	if err != nil || o == nil {
		return err
	}
	owners := slices.DeleteFunc(o.GetOwnerReferences(), func(w metav1.OwnerReference) bool { return w.UID == d.GetUID() })
	if len(owners) == len(o.GetOwnerReferences()) != owns {
		return nil
	}
	if owns {
		owners = append(owners, ownedBy(d))
	}
	version := o.GetResourceVersion()
	api := x.api(c.resource())
	if len(owners) == 0 {
		err = api.Delete(ctx, c.name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
	} else {
		next := o.DeepCopy()
		next.SetOwnerReferences(owners)
		_, err = x.write(ctx, c.resource(), o, difference(o.Object, next.Object))
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("owners of %v: %w", c, err)
	}
	return nil
}

// collect gives up the copies that no template of the two Deployments uses any more, nor
// any revision in their histories.
func (x *Workload) collect(ctx context.Context, r strategy.Ref) error {
	if len(x.o.Configs) == 0 {
		return nil
	}
	stable, candidate, found, err := x.pair(ctx, r.Release.Arms())
	if err != nil {
		return err
	}
	sides := []deployment{stable}
	if found {
		sides = append(sides, candidate)
	}
	var all []config
	for _, kind := range []string{"ConfigMap", "Secret"} {
		if !slices.ContainsFunc(x.o.Configs, func(c string) bool { return strings.HasPrefix(c, kind+"/") }) {
			continue
		}
		copies, err := x.list(ctx, config{kind: kind}.resource(), metav1.ListOptions{LabelSelector: copyLabel})
		if err != nil {
			return err
		}
		for _, o := range copies {
			if slices.Contains(x.o.Configs, kind+"/"+o.GetAnnotations()[sourceNote]) {
				all = append(all, config{kind, o.GetName()})
			}
		}
	}
	var errs []error
	for _, d := range sides {
		used, err := x.history(ctx, d)
		if err != nil {
			return err
		}
		for _, c := range all {
			if !slices.Contains(used, c) {
				errs = append(errs, x.own(ctx, c, d, false))
			}
		}
	}
	return errors.Join(errs...)
}

// history is what the Deployment's template and its revisions use.
func (x *Workload) history(ctx context.Context, d deployment) ([]config, error) {
	used := usedBy(d.template())
	found, err := x.list(ctx, replicaSets, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, rs := range found {
		if owner := metav1.GetControllerOf(&rs); owner != nil && owner.UID == d.GetUID() {
			used = append(used, usedBy(field[map[string]any](rs.Object, "spec", "template"))...)
		}
	}
	return used, nil
}

// usedBy are the ConfigMaps and Secrets that a template uses.
func usedBy(template map[string]any) []config {
	var used []config
	_ = rename(template, func(c config) (string, error) {
		used = append(used, c)
		return c.name, nil
	})
	return used
}

// rename goes through every place of a pod template that names a ConfigMap or a Secret
// whose contents the pod gets.
func rename(template map[string]any, to func(config) (string, error)) error {
	at := func(in map[string]any, kind, key string) error {
		name, ok := in[key].(string)
		if !ok || name == "" {
			return nil
		}
		next, err := to(config{kind, name})
		if err == nil && next != name {
			in[key] = next
		}
		return err
	}
	var errs []error
	each := func(in map[string]any, key string, do func(map[string]any)) {
		for _, v := range field[[]any](in, key) {
			if v, ok := v.(map[string]any); ok {
				do(v)
			}
		}
	}
	inside := func(in map[string]any, within, kind, key string) {
		if v := field[map[string]any](in, within); v != nil {
			errs = append(errs, at(v, kind, key))
		}
	}
	spec := field[map[string]any](template, "spec")
	each(spec, "volumes", func(v map[string]any) {
		inside(v, "configMap", "ConfigMap", "name")
		inside(v, "secret", "Secret", "secretName")
		each(field[map[string]any](v, "projected"), "sources", func(s map[string]any) {
			inside(s, "configMap", "ConfigMap", "name")
			inside(s, "secret", "Secret", "name")
		})
	})
	for _, containers := range []string{"initContainers", "containers"} {
		each(spec, containers, func(c map[string]any) {
			each(c, "envFrom", func(e map[string]any) {
				inside(e, "configMapRef", "ConfigMap", "name")
				inside(e, "secretRef", "Secret", "name")
			})
			each(c, "env", func(e map[string]any) {
				from := field[map[string]any](e, "valueFrom")
				inside(from, "configMapKeyRef", "ConfigMap", "name")
				inside(from, "secretKeyRef", "Secret", "name")
			})
		})
	}
	return errors.Join(errs...)
}

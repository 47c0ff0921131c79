// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// each calls back with every backend of an Ingress: the host and the path that it is of,
// which are empty for the default one.
func each(o *unstructured.Unstructured, visit func(host, path, kind string, backend map[string]any)) {
	if fallback, ok, _ := unstructured.NestedMap(o.Object, "spec", "defaultBackend"); ok {
		visit("", "", "", fallback)
	}
	rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
	for _, r := range rules {
		rule, ok := r.(map[string]any)
		if !ok {
			continue
		}
		host, _, _ := unstructured.NestedString(rule, "host")
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for _, p := range paths {
			path, ok := p.(map[string]any)
			if !ok {
				continue
			}
			at, _, _ := unstructured.NestedString(path, "path")
			kind, _, _ := unstructured.NestedString(path, "pathType")
			backend, _, _ := unstructured.NestedMap(path, "backend")
			visit(host, at, kind, backend)
		}
	}
}

func serviceOf(backend map[string]any) string {
	name, _, _ := unstructured.NestedString(backend, "service", "name")
	return name
}

// has says whether the Service is one of an Ingress's backends.
func has(o *unstructured.Unstructured, service string) (found bool) {
	each(o, func(_, _, _ string, backend map[string]any) { found = found || serviceOf(backend) == service })
	return found
}

// backendOf is the one Service that an Ingress has, "" if there are more or none.
func backendOf(o *unstructured.Unstructured) string {
	services := map[string]bool{}
	last := ""
	each(o, func(_, _, _ string, backend map[string]any) {
		last = serviceOf(backend)
		services[last] = true
	})
	if len(services) != 1 {
		return ""
	}
	return last
}

// behind is the one Service that the Ingress has where the canary is, "" if there are more
// or none.
func (c codec) behind(main, canary *unstructured.Unstructured) string {
	type place struct{ host, path, kind string }
	places := map[place]bool{}
	each(canary, func(host, path, kind string, _ map[string]any) { places[place{host, path, kind}] = true })
	own, several := "", false
	each(main, func(host, path, kind string, backend map[string]any) {
		if service := serviceOf(backend); places[place{host, path, kind}] {
			several = several || own != "" && own != service
			own = service
		}
	})
	if several {
		return ""
	}
	return own
}

// paths are the rules and the default backend of the Ingress that go to own, with other
// instead.
func (c codec) paths(main *unstructured.Unstructured, own, other string) (rules []any, fallback map[string]any) {
	if backend, ok, _ := unstructured.NestedMap(main.Object, "spec", "defaultBackend"); ok && serviceOf(backend) == own {
		fallback = with(backend, other)
	}
	all, _, _ := unstructured.NestedSlice(main.Object, "spec", "rules")
	for _, r := range all {
		rule, ok := r.(map[string]any)
		if !ok {
			continue
		}
		var mine []any
		paths, _, _ := unstructured.NestedSlice(rule, "http", "paths")
		for _, p := range paths {
			path, ok := p.(map[string]any)
			if !ok {
				continue
			}
			if backend, _, _ := unstructured.NestedMap(path, "backend"); serviceOf(backend) == own {
				path["backend"] = with(backend, other)
				mine = append(mine, path)
			}
		}
		if len(mine) == 0 {
			continue
		}
		kept := map[string]any{"http": map[string]any{"paths": mine}}
		if host, ok := rule["host"]; ok {
			kept["host"] = host
		}
		rules = append(rules, kept)
	}
	return rules, fallback
}

// with is the backend with another Service at the same port.
func with(backend map[string]any, service string) map[string]any {
	backend = runtime.DeepCopyJSON(backend)
	if at, ok := backend["service"].(map[string]any); ok {
		at["name"] = service
	}
	return backend
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// own gives the manager what it has changed, and takes it from all others.
func (s *Server) own(path string, old, next map[string]any, manager string) {
	if s.owners[path] == nil {
		s.owners[path] = map[string]map[string]any{}
	}
	if manager == "" {
		manager = "unknown"
	}
	owners := s.owners[path]
	if owners[manager] == nil {
		owners[manager] = map[string]any{}
	}
	changed(without(old), without(next), nil, func(field []string, gone bool) {
		for _, set := range owners {
			drop(set, field)
		}
		if !gone {
			add(owners[manager], field)
		}
	})
	for name, set := range owners {
		if len(set) == 0 {
			delete(owners, name)
		}
	}
}

// managed is managedFields.
func (s *Server) managed(path string) []any {
	list := []any{}
	for _, manager := range slices.Sorted(maps.Keys(s.owners[path])) {
		list = append(list, map[string]any{
			"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "apiVersion": "v1",
			"time": time.Now().UTC().Format(time.RFC3339), "fieldsV1": copyOf(s.owners[path][manager]),
		})
	}
	return list
}

// without is the object without what no manager owns.
func without(object map[string]any) map[string]any {
	object = copyOf(object)
	for _, name := range []string{"apiVersion", "kind"} {
		delete(object, name)
	}
	for _, name := range []string{"uid", "generation", "managedFields", "resourceVersion", "name", "namespace"} {
		delete(metaOf(object), name)
	}
	return object
}

// changed calls back for each field that differs; a list is one field.
func changed(old, next map[string]any, at []string, report func(field []string, gone bool)) {
	for name, want := range next {
		field := append(slices.Clone(at), name)
		below, isMap := want.(map[string]any)
		had, wasMap := old[name].(map[string]any)
		switch {
		case isMap && (wasMap || old[name] == nil):
			changed(had, below, field, report)
		case !reflect.DeepEqual(old[name], want):
			report(field, false)
		}
	}
	for name, had := range old {
		if _, ok := next[name]; ok {
			continue
		}
		field := append(slices.Clone(at), name)
		if below, ok := had.(map[string]any); ok {
			changed(below, nil, field, report)
			continue
		}
		report(field, true)
	}
}

func add(set map[string]any, field []string) {
	for _, name := range field {
		below, ok := set["f:"+name].(map[string]any)
		if !ok {
			below = map[string]any{}
			set["f:"+name] = below
		}
		set = below
	}
}

// drop removes the field, and what holds nothing without it.
func drop(set map[string]any, field []string) {
	below, ok := set["f:"+field[0]].(map[string]any)
	if !ok {
		return
	}
	if len(field) > 1 {
		drop(below, field[1:])
	}
	if len(field) == 1 || len(below) == 0 {
		delete(set, "f:"+field[0])
	}
}

// merge is RFC 7396.
func merge(old, change any) any {
	patch, ok := change.(map[string]any)
	if !ok {
		return change
	}
	target, ok := old.(map[string]any)
	if !ok {
		target = map[string]any{}
	}
	for name, value := range patch {
		if value == nil {
			delete(target, name)
			continue
		}
		target[name] = merge(target[name], value)
	}
	return target
}

// copyOf is a copy that shares nothing, with whole numbers as int64.
func copyOf(object map[string]any) map[string]any {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // it came from JSON
	}
	c := map[string]any{}
	if err := decode(text, &c); err != nil {
		panic(err)
	}
	return c
}

// decode reads JSON as the API machinery does.
func decode(text []byte, into *map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("kubefake: %w", err)
	}
	for k, v := range *into {
		(*into)[k] = number(v)
	}
	return nil
}

func number(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = number(v[k])
		}
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

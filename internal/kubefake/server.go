// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Server keeps objects as the API server does, as far as writers meet each other:
// resourceVersions that are compared, generations, a status that only its subresource
// writes, and managedFields with what each manager changed last. It knows no schemas, so
// that it neither validates nor prunes; every list is atomic, and there are no watches.
type Server struct {
	// Before is asked before each request; a code above 0 is what it is answered
	// instead of being carried out. It may write to the server. nil is never.
	Before func(req *http.Request) int
	// Admit may change what is about to be stored, as an admission webhook does.
	Admit func(object map[string]any)

	mu       sync.Mutex
	version  int
	objects  map[string]map[string]any            // by path
	owners   map[string]map[string]map[string]any // by path and manager, as in managedFields
	requests []string
}

// New is a server without objects.
func New() *Server {
	return &Server{version: 100, objects: map[string]map[string]any{}, owners: map[string]map[string]map[string]any{}}
}

// Config is how a client comes to the server.
func (s *Server) Config() *rest.Config {
	return &rest.Config{Host: "http://fake.invalid", Transport: s, QPS: -1}
}

// Requests is the verb and the path of each request so far.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// RoundTrip answers a client's request.
func (s *Server) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body)) // for Before
	}
	code := 0
	if s.Before != nil {
		code = s.Before(req)
	}
	var answer any
	if code > 0 {
		answer = failure(code, "it was to fail")
	} else {
		code, answer = s.serve(req.Method, req.URL, body)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Status: strconv.Itoa(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(bytes.NewReader(text)), ContentLength: int64(len(text)),
	}, nil
}

var reasons = map[int]string{
	http.StatusConflict: "Conflict", http.StatusNotFound: "NotFound", http.StatusTooManyRequests: "TooManyRequests",
	http.StatusInternalServerError: "InternalError", http.StatusServiceUnavailable: "ServiceUnavailable",
	http.StatusForbidden: "Forbidden", http.StatusUnprocessableEntity: "Invalid", http.StatusBadRequest: "BadRequest",
}

func failure(code int, message string) map[string]any {
	return map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure",
		"code": code, "reason": reasons[code], "message": message,
	}
}

func (s *Server) serve(method string, u *url.URL, body []byte) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, method+" "+u.Path)
	path, status := strings.CutSuffix(u.Path, "/status")
	old := s.objects[path]
	manager := u.Query().Get("fieldManager")
	if method == http.MethodPost {
		return s.create(path, body, manager)
	}
	if old == nil {
		if method == http.MethodGet && ofMany(path) {
			return http.StatusOK, s.list(path, u.Query().Get("labelSelector"))
		}
		return http.StatusNotFound, failure(http.StatusNotFound, path+" not found")
	}
	switch method {
	case http.MethodGet:
		return http.StatusOK, old
	case http.MethodDelete:
		return s.remove(path, body)
	case http.MethodPatch, http.MethodPut:
		change := map[string]any{}
		if err := decode(body, &change); err != nil {
			return http.StatusBadRequest, failure(http.StatusBadRequest, err.Error())
		}
		next := change
		if method == http.MethodPatch {
			next, _ = merge(copyOf(old), change).(map[string]any)
		}
		return s.update(path, next, manager, status)
	}
	return http.StatusMethodNotAllowed, failure(http.StatusMethodNotAllowed, method)
}

func (s *Server) create(path string, body []byte, manager string) (int, any) {
	object := map[string]any{}
	if err := decode(body, &object); err != nil {
		return http.StatusBadRequest, failure(http.StatusBadRequest, err.Error())
	}
	meta := metaOf(object)
	name, _ := meta["name"].(string)
	path += "/" + name
	if s.objects[path] != nil {
		answer := failure(http.StatusConflict, name+" already exists")
		answer["reason"] = "AlreadyExists"
		return http.StatusConflict, answer
	}
	if s.Admit != nil {
		s.Admit(object)
	}
	meta["generation"] = int64(1)
	if _, ok := meta["uid"]; !ok {
		meta["uid"] = fmt.Sprintf("uid-%d", s.version)
	}
	s.store(path, map[string]any{}, object, manager)
	return http.StatusCreated, object
}

func (s *Server) update(path string, next map[string]any, manager string, status bool) (int, any) {
	old := s.objects[path]
	meta, was := metaOf(next), metaOf(old)
	if v, ok := meta["resourceVersion"]; ok && v != was["resourceVersion"] {
		return http.StatusConflict, failure(http.StatusConflict, "the object has been modified; please apply your changes to the latest version and try again")
	}
	if s.Admit != nil {
		s.Admit(next)
	}
	for _, kept := range []string{"uid", "generation", "managedFields", "resourceVersion"} {
		meta[kept] = was[kept]
	}
	if status {
		only := copyOf(old)
		only["status"] = next["status"]
		next = only
	} else if next["status"] = old["status"]; next["status"] == nil {
		delete(next, "status")
	}
	if reflect.DeepEqual(old, next) {
		return http.StatusOK, old
	}
	if !reflect.DeepEqual(old["spec"], next["spec"]) {
		generation, _ := was["generation"].(int64)
		metaOf(next)["generation"] = generation + 1
	}
	s.store(path, old, next, manager)
	return http.StatusOK, next
}

func (s *Server) remove(path string, body []byte) (int, any) {
	var o struct {
		Preconditions struct{ ResourceVersion, UID *string }
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &o); err != nil {
			return http.StatusBadRequest, failure(http.StatusBadRequest, err.Error())
		}
	}
	meta := metaOf(s.objects[path])
	if v := o.Preconditions.ResourceVersion; v != nil && *v != meta["resourceVersion"] {
		return http.StatusConflict, failure(http.StatusConflict, "the resourceVersion is another one")
	}
	delete(s.objects, path)
	delete(s.owners, path)
	return http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"}
}

// store keeps next, which nobody changes any more.
func (s *Server) store(path string, old, next map[string]any, manager string) {
	s.version++
	meta := metaOf(next)
	meta["resourceVersion"] = strconv.Itoa(s.version)
	s.own(path, old, next, manager)
	meta["managedFields"] = s.managed(path)
	s.objects[path] = copyOf(next)
}

func (s *Server) list(path, selector string) map[string]any {
	items := []any{}
	for _, at := range slices.Sorted(maps.Keys(s.objects)) {
		if name, ok := strings.CutPrefix(at, path+"/"); ok && !strings.Contains(name, "/") && selected(s.objects[at], selector) {
			items = append(items, s.objects[at])
		}
	}
	version := strconv.Itoa(s.version)
	return map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": version}, "items": items}
}

// ofMany says whether a path is that of a resource in a namespace, and not of one object.
func ofMany(path string) bool {
	_, below, ok := strings.Cut(path, "/namespaces/")
	return ok && strings.Count(below, "/") == 1
}

func selected(object map[string]any, selector string) bool {
	labels, _ := metaOf(object)["labels"].(map[string]any)
	for want := range strings.SplitSeq(selector, ",") {
		if k, v, ok := strings.Cut(want, "="); ok && labels[k] != v {
			return false
		}
	}
	return true
}

func metaOf(object map[string]any) map[string]any {
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	return meta
}

// Add keeps an object that somebody else has made.
func (s *Server) Add(resource schema.GroupVersionResource, kind, namespace, name string, object map[string]any) {
	object = copyOf(object)
	object["kind"], object["apiVersion"] = kind, resource.GroupVersion().String()
	meta := metaOf(object)
	meta["namespace"], meta["name"] = namespace, name
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // it came from JSON
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := pathOf(resource, namespace)
	delete(s.objects, path+"/"+name)
	if code, answer := s.create(path, text, "kubectl"); code != http.StatusCreated {
		panic(answer)
	}
}

// Endpoints makes the EndpointSlice of a Service, with so many endpoints of which so many
// are ready.
func (s *Server) Endpoints(namespace, service string, all, ready int) {
	endpoints := []any{}
	for i := range all {
		endpoints = append(endpoints, map[string]any{
			"addresses":  []any{fmt.Sprintf("10.0.0.%d", i)},
			"conditions": map[string]any{"ready": i < ready},
			"targetRef":  map[string]any{"kind": "Pod", "uid": fmt.Sprintf("%s-%d", service, i)},
		})
	}
	slices := schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	s.Add(slices, "EndpointSlice", namespace, service, map[string]any{
		"metadata":  map[string]any{"labels": map[string]any{"kubernetes.io/service-name": service}},
		"endpoints": endpoints,
	})
}

// Delete removes an object.
func (s *Server) Delete(resource schema.GroupVersionResource, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, pathOf(resource, namespace)+"/"+name)
}

// Object is a copy of an object, nil if it is not there.
func (s *Server) Object(resource schema.GroupVersionResource, namespace, name string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[pathOf(resource, namespace)+"/"+name]; o != nil {
		return copyOf(o)
	}
	return nil
}

func pathOf(resource schema.GroupVersionResource, namespace string) string {
	root := "/apis/" + resource.Group
	if resource.Group == "" {
		root = "/api"
	}
	return root + "/" + resource.Version + "/namespaces/" + namespace + "/" + resource.Resource
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// fakeAPI is an API server in memory, behind an http.RoundTripper, so that a whole cluster
// and its clients fit into a bubble of fake time. It has resourceVersions as the real one
// has them: every write gives the object the next one, a write that names another than
// the stored one is a 409, and status is written through its subresource alone. It checks
// no schemas and keeps no managedFields.
type fakeAPI struct {
	// fault is asked before and after every request is carried out; nil is none.
	fault func(req *http.Request, write bool) apiFault

	mu       sync.Mutex
	version  int
	objects  map[string]map[string]any // by path
	watchers map[*fakeWatch]bool
	missing  map[string]bool // resources that are not installed
	requests map[string]int  // by verb and resource
}

// apiFault is what goes wrong with one request.
type apiFault struct {
	stall time.Duration // before it is carried out, whether or not anybody waits
	code  int           // instead of carrying it out
	lost  bool          // no reply, carried out
}

type fakeWatch struct {
	prefix string
	events chan []byte
	gone   <-chan struct{}
}

func newFakeAPI() *fakeAPI {
	return &fakeAPI{objects: map[string]map[string]any{}, watchers: map[*fakeWatch]bool{}, missing: map[string]bool{}, requests: map[string]int{}}
}

func (f *fakeAPI) setFault(fault func(*http.Request, bool) apiFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *fakeAPI) client(t *testing.T) dynamic.Interface {
	t.Helper()
	config := &rest.Config{Host: "http://fake", QPS: -1}
	client, err := dynamic.NewForConfigAndClient(config, &http.Client{Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// RoundTrip carries a request out, as its fault will have it.
func (f *fakeAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	write := req.Method != http.MethodGet
	fault := apiFault{}
	f.mu.Lock()
	draw := f.fault
	f.mu.Unlock()
	if draw != nil {
		fault = draw(req, write)
	}
	if fault.code != 0 {
		return refuse(req, fault.code, http.StatusText(fault.code), nil), nil
	}
	if fault.stall == 0 {
		reply := f.serve(req)
		if fault.lost {
			return nil, io.ErrUnexpectedEOF
		}
		return reply, nil
	}
	done := make(chan *http.Response, 1)
	late := req.Clone(context.WithoutCancel(req.Context()))
	go func() {
		time.Sleep(fault.stall)
		done <- f.serve(late) //nolint:bodyclose // the bodies of this server hold nothing
	}()
	select {
	case reply := <-done:
		return reply, nil
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	}
}

// place is what a path names.
type place struct {
	collection, name, sub string
	resource              string
}

func placeOf(path string) place {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	head := 3 // apis/group/version
	if parts[0] == "api" {
		head = 2
	}
	at := head
	if parts[at] == "namespaces" && len(parts) > at+2 {
		at += 2
	}
	p := place{collection: strings.Join(parts[:at+1], "/"), resource: parts[at]}
	if len(parts) > at+1 {
		p.name = parts[at+1]
	}
	if len(parts) > at+2 {
		p.sub = parts[at+2]
	}
	return p
}

func (f *fakeAPI) serve(req *http.Request) *http.Response {
	var body map[string]any
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return refuse(req, 400, err.Error(), nil)
		}
		if len(data) > 0 && json.Unmarshal(data, &body) != nil {
			return refuse(req, 400, "not JSON", nil)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := placeOf(req.URL.Path)
	watching := req.URL.Query().Get("watch") == "true"
	verb := strings.ToLower(req.Method)
	if watching {
		verb = "watch"
	}
	f.requests[verb+" "+p.resource]++
	path := p.collection + "/" + p.name
	have, found := f.objects[path]
	switch {
	case f.missing[p.resource]:
		return plain(req, 404, "404 page not found")
	case watching:
		return f.watch(req, p)
	case req.Method == http.MethodGet && p.name == "":
		return f.list(req, p)
	case req.Method == http.MethodPost:
		return f.create(req, p, body)
	case !found:
		return refuse(req, 404, fmt.Sprintf("%s %q not found", p.resource, p.name), map[string]any{"name": p.name, "kind": p.resource})
	case req.Method == http.MethodGet:
		return answer(req, 200, have)
	case req.Method == http.MethodDelete:
		return f.remove(req, path, have)
	case req.Method == http.MethodPatch:
		return f.patch(req, p, path, have, body)
	}
	return refuse(req, 405, "method not allowed", nil)
}

func (f *fakeAPI) create(req *http.Request, p place, body map[string]any) *http.Response {
	meta := metaOf(body)
	name, _ := meta["name"].(string)
	path := p.collection + "/" + name
	if _, found := f.objects[path]; found {
		return refuse(req, 409, name+" already exists", nil, "AlreadyExists")
	}
	if p.resource == "rollouts" {
		delete(body, "status")
	}
	meta["uid"] = fmt.Sprint("uid-", f.version+1)
	meta["generation"] = 1
	meta["namespace"] = strings.Split(p.collection, "/")[len(strings.Split(p.collection, "/"))-2]
	f.store("ADDED", path, body)
	return answer(req, 201, body)
}

func (f *fakeAPI) patch(req *http.Request, p place, path string, have, patch map[string]any) *http.Response {
	if wanted, ok := metaOf(patch)["resourceVersion"]; ok && wanted != metaOf(have)["resourceVersion"] {
		return refuse(req, 409, "the object has been modified", nil, "Conflict")
	}
	next := clone(have)
	switch p.sub {
	case "status":
		merge(next, map[string]any{"status": patch["status"]})
	default:
		if p.resource == "rollouts" {
			delete(patch, "status")
		}
		merge(next, patch)
		if !same(next["spec"], have["spec"]) {
			generation, _ := metaOf(have)["generation"].(float64)
			metaOf(next)["generation"] = generation + 1
		}
	}
	if metaOf(next)["deletionTimestamp"] != nil && !hasFinalizers(next) {
		return f.remove(req, path, next)
	}
	f.store("MODIFIED", path, next)
	return answer(req, 200, next)
}

func (f *fakeAPI) remove(req *http.Request, path string, have map[string]any) *http.Response {
	if hasFinalizers(have) {
		next := clone(have)
		if metaOf(next)["deletionTimestamp"] == nil {
			metaOf(next)["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
			f.store("MODIFIED", path, next)
		}
		return answer(req, 200, next)
	}
	f.store("DELETED", path, have)
	delete(f.objects, path)
	return answer(req, 200, have)
}

func hasFinalizers(object map[string]any) bool {
	finalizers, _ := metaOf(object)["finalizers"].([]any)
	return len(finalizers) > 0
}

// store gives an object the next version and tells the watchers. What is stored is never
// changed again.
func (f *fakeAPI) store(event, path string, object map[string]any) {
	f.version++
	object = clone(object)
	metaOf(object)["resourceVersion"] = strconv.Itoa(f.version)
	f.objects[path] = object
	line := eventLine(event, object)
	for w := range f.watchers {
		if !strings.HasPrefix(path, w.prefix) && !everywhere(w.prefix, path) {
			continue
		}
		select {
		case w.events <- line:
		case <-w.gone:
		}
	}
}

// everywhere matches a collection of all namespaces.
func everywhere(prefix, path string) bool {
	i := strings.LastIndexByte(strings.TrimSuffix(prefix, "/"), '/')
	return strings.HasPrefix(path, prefix[:i]+"/namespaces/") && strings.Contains(path, prefix[i:])
}

func (f *fakeAPI) under(p place) []string {
	var paths []string
	for path := range f.objects {
		if strings.HasPrefix(path, p.collection+"/") || everywhere(p.collection+"/", path) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func (f *fakeAPI) list(req *http.Request, p place) *http.Response {
	query := req.URL.Query()
	after, _ := base64.RawURLEncoding.DecodeString(query.Get("continue"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	label, value, _ := strings.Cut(query.Get("labelSelector"), "=")
	items, next := []any{}, ""
	last := ""
	for _, path := range f.under(p) {
		labels, _ := metaOf(f.objects[path])["labels"].(map[string]any)
		if path <= string(after) || label != "" && (labels[label] == nil || value != "" && labels[label] != value) {
			continue
		}
		if limit > 0 && len(items) == limit {
			next = base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		last = path
		items = append(items, f.objects[path])
	}
	return answer(req, 200, map[string]any{
		"kind": "List", "apiVersion": "v1", "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(f.version), "continue": next},
	})
}

// watch streams from now on, after what there is if that is asked for.
func (f *fakeAPI) watch(req *http.Request, p place) *http.Response {
	w := &fakeWatch{prefix: p.collection + "/", events: make(chan []byte, 100_000), gone: req.Context().Done()}
	query := req.URL.Query()
	if query.Get("sendInitialEvents") == "true" {
		for _, path := range f.under(p) {
			w.events <- eventLine("ADDED", f.objects[path])
		}
		w.events <- eventLine("BOOKMARK", map[string]any{"kind": "Bookmark", "apiVersion": "v1", "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(f.version), "annotations": map[string]any{"k8s.io/initial-events-end": "true"},
		}})
	} else if since, _ := strconv.Atoi(query.Get("resourceVersion")); since < f.version {
		for _, path := range f.under(p) {
			if v, err := strconv.Atoi(fmt.Sprint(metaOf(f.objects[path])["resourceVersion"])); err == nil && v > since {
				w.events <- eventLine("MODIFIED", f.objects[path])
			}
		}
	}
	f.watchers[w] = true
	stream, into := io.Pipe()
	go func() {
		defer into.Close()
		for {
			select {
			case line := <-w.events:
				if _, err := into.Write(line); err != nil {
					f.drop(w)
					return
				}
			case <-w.gone:
				f.drop(w)
				return
			}
		}
	}()
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: stream, Request: req}
}

func (f *fakeAPI) drop(w *fakeWatch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
}

// count is how many requests of a verb and resource there were.
func (f *fakeAPI) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[what]
}

func eventLine(event string, object map[string]any) []byte {
	line, err := json.Marshal(map[string]any{"type": event, "object": object})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(line, '\n')
}

func metaOf(object map[string]any) map[string]any {
	meta, _ := object["metadata"].(map[string]any)
	return meta
}

// merge is RFC 7396.
func merge(into, patch map[string]any) {
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(into, k)
		case map[string]any:
			below, ok := into[k].(map[string]any)
			if !ok {
				below = map[string]any{}
			}
			merge(below, v)
			into[k] = below
		default:
			into[k] = v
		}
	}
}

func clone(object map[string]any) map[string]any {
	data, err := json.Marshal(object)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	var copied map[string]any
	if err := json.Unmarshal(data, &copied); err != nil {
		panic("BUG: " + err.Error())
	}
	return copied
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func answer(req *http.Request, code int, object map[string]any) *http.Response {
	data, err := json.Marshal(object)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(data)), Request: req}
}

func plain(req *http.Request, code int, text string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(text)), Request: req}
}

func refuse(req *http.Request, code int, message string, details map[string]any, reason ...string) *http.Response {
	names := map[int]string{400: "BadRequest", 404: "NotFound", 409: "Conflict", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
	why := names[code]
	if len(reason) > 0 {
		why = reason[0]
	}
	return answer(req, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": why, "message": message, "details": details})
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package launchdarkly_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/flags/launchdarkly"
)

const token = "api-12345678-secret"

// server speaks as much of LaunchDarkly's REST API, version 20240415, as is used.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	flags    []*flag
	trouble  []func(http.ResponseWriter) // for the next requests, in turn; nil is none
	pages    int
	archived []string // with the comment
	next     string   // where pages say that the next is
}

type flag struct {
	key       string
	temporary bool
	archived  bool
	needed    bool   // another's prerequisite
	config    string // without lastModified
	changed   time.Time
	requested map[string]time.Time
}

const (
	everybody = `"on":true,"_summary":{"prerequisites":0,"variations":{"0":{"rules":0,"nullRules":0,"targets":0,"contextTargets":0,"isFallthrough":true},"1":{"isOff":true}}}`
	all       = `"on":true,"rules":[],"targets":[],"fallthrough":{"variation":0},"offVariation":1,"prerequisites":[]`
)

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/flags/shop", s.list)
	mux.HandleFunc("GET /api/v2/flags/shop/{key}", s.get)
	mux.HandleFunc("PATCH /api/v2/flags/shop/{key}", s.patch)
	mux.HandleFunc("GET /api/v2/flag-statuses/shop/production", s.statuses)
	mux.HandleFunc("GET /api/v2/flag-status/shop/{key}", s.status)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.trouble) > 0 {
			answer := s.trouble[0]
			s.trouble = s.trouble[1:]
			if answer != nil {
				answer(w)
				return
			}
		}
		switch {
		case r.Header.Get("Authorization") != token:
			refuse(w, 401, "unauthorized", "Invalid access token "+r.Header.Get("Authorization"))
		case r.Header.Get("LD-API-Version") != "20240415":
			refuse(w, 400, "invalid_request", "another version")
		default:
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message, "id": "30ce6058"})
}

func answering(status int, headers ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		refuse(w, status, "some_code", "some message")
	}
}

func (s *server) find(w http.ResponseWriter, r *http.Request) *flag {
	i := slices.IndexFunc(s.flags, func(f *flag) bool { return f.key == r.PathValue("key") })
	if i < 0 {
		refuse(w, 404, "not_found", "Unknown flag")
		return nil
	}
	return s.flags[i]
}

func (f *flag) write(environment string) string {
	config := ""
	if environment != "" {
		config = fmt.Sprintf(`%q:{%s,"lastModified":%d,"version":3}`, environment, f.config, f.changed.UnixMilli())
	}
	return fmt.Sprintf(`{"key":%q,"name":"The %s","kind":"boolean","temporary":%v,"archived":%v,"variations":[{"value":true},{"value":false}],
		"_maintainer":{"email":"ada@example.com"},"environments":{%s}}`, f.key, f.key, f.temporary, f.archived, config)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	s.pages++
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil {
		limit = 20
	}
	limit = min(limit, 100)
	offset, _ := strconv.Atoi(query.Get("offset"))
	var items []string
	for _, f := range s.flags[min(offset, len(s.flags)):min(offset+limit, len(s.flags))] {
		items = append(items, f.write(query.Get("env")))
	}
	links := "{}"
	if offset+limit < len(s.flags) {
		query.Set("offset", strconv.Itoa(offset+limit))
		links = fmt.Sprintf(`{"next":{"href":%q,"type":"application/json"}}`, s.next+r.URL.Path+"?"+query.Encode())
	}
	_, _ = fmt.Fprintf(w, `{"items":[%s],"totalCount":%d,"_links":%s}`, strings.Join(items, ","), len(s.flags), links)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	if f := s.find(w, r); f != nil {
		_, _ = fmt.Fprint(w, f.write(r.URL.Query().Get("env")))
	}
}

func (s *server) patch(w http.ResponseWriter, r *http.Request) {
	f := s.find(w, r)
	if f == nil {
		return
	}
	var patch struct {
		Comment      string
		Instructions []struct{ Kind string }
	}
	switch {
	case !strings.Contains(r.Header.Get("Content-Type"), "domain-model=launchdarkly.semanticpatch"):
		refuse(w, 400, "invalid_request", "this is no JSON patch")
	case json.NewDecoder(r.Body).Decode(&patch) != nil || len(patch.Instructions) != 1 || patch.Instructions[0].Kind != "archiveFlag":
		refuse(w, 422, "unprocessable_entity", "an instruction that is not known")
	case f.needed:
		refuse(w, 400, "invalid_request", "Flag is a prerequisite of other flags")
	default:
		f.archived = true
		s.archived = append(s.archived, f.key+": "+patch.Comment)
		_, _ = fmt.Fprint(w, f.write(""))
	}
}

func (s *server) statuses(w http.ResponseWriter, _ *http.Request) {
	var items []string
	for _, f := range s.flags {
		last := ""
		if at, ok := f.requested["production"]; ok {
			last = fmt.Sprintf(`"lastRequested":%q,`, at.Format(time.RFC3339Nano))
		}
		items = append(items, fmt.Sprintf(`{"name":"launched",%s"_links":{"parent":{"href":"/api/v2/flags/shop/%s"},
			"self":{"href":"/api/v2/flag-statuses/shop/production/%s"}}}`, last, url.PathEscape(f.key), url.PathEscape(f.key)))
	}
	_, _ = fmt.Fprintf(w, `{"_links":{},"items":[%s]}`, strings.Join(items, ","))
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	f := s.find(w, r)
	if f == nil {
		return
	}
	environments := map[string]any{}
	for name, at := range f.requested {
		environments[name] = map[string]any{"name": "active", "lastRequested": at}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"key": f.key, "environments": environments, "_links": map[string]any{}})
}

func (s *server) project(t *testing.T, options launchdarkly.ProjectOptions) *launchdarkly.Project {
	t.Helper()
	options.Address, options.Project, options.Environment = s.URL, "shop", "production"
	if options.Token == "" {
		options.Token = token
	}
	p, err := launchdarkly.NewProject(options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

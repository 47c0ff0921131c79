// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

// Package ofrep serves flags to front ends over OFREP, the OpenFeature remote evaluation
// protocol, which the OpenFeature SDKs of browsers and phones speak.
//
// It only evaluates, and nothing can be written through it. Flags that are private are
// as if they were not there; what decides a flag (rules, segments, other users' keys) is
// never sent. Whoever calls says who he is: set Options.Who to take that from a
// session instead.
//
//	POST /ofrep/v1/evaluate/flags        all flags, with an ETag to ask again by
//	POST /ofrep/v1/evaluate/flags/{key}  one flag
package ofrep

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/rheostat-go/rheostat/flags"
)

// path is where OFREP is.
const path = "/ofrep/v1/evaluate/flags"

// DefaultMaxBody bounds a request unless Options say otherwise, in bytes.
const DefaultMaxBody = 64 << 10

// Options of a handler. The zero value serves all flags that are not private.
type Options struct {
	// Who makes the context to evaluate for, of the one that the request claims. An error is
	// answered 403 with its text. nil believes the request.
	Who func(r *http.Request, claimed flags.Context) (flags.Context, error)
	// MaxBody bounds a request in bytes; 0 is DefaultMaxBody.
	MaxBody int64
}

// New makes a handler for the paths of OFREP. It is safe for many goroutines.
func New(client *flags.Client, options Options) (http.Handler, error) {
	switch {
	case client == nil:
		return nil, errors.New("flags: ofrep: no client")
	case options.MaxBody < 0:
		return nil, fmt.Errorf("flags: ofrep: Options.MaxBody: %d is less than none", options.MaxBody)
	}
	options.MaxBody = cmp.Or(options.MaxBody, DefaultMaxBody)
	h := &handler{client: client, options: options}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, h.bulk)
	mux.HandleFunc("POST "+path+"/{key...}", h.one)
	return mux, nil
}

type handler struct {
	client  *flags.Client
	options Options
}

// evaluation is one flag as the protocol has it. Without a value, the front end's own
// default is meant.
type evaluation struct {
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value,omitempty"`
	Variant  string          `json:"variant,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Metadata map[string]any  `json:"metadata,omitempty"`
}

// failure is what went wrong, in the protocol's codes.
type failure struct {
	Key     string `json:"key,omitempty"`
	Code    string `json:"errorCode,omitempty"`
	Details string `json:"errorDetails,omitempty"`
}

func (h *handler) one(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	who, ok := h.who(w, r, key)
	if !ok {
		return
	}
	f, found := h.client.Flag(key)
	if !found || f.Private {
		answer(w, http.StatusNotFound, failure{key, "FLAG_NOT_FOUND", fmt.Sprintf("there is no flag %q", key)})
		return
	}
	d := h.client.Raw(key, &who)
	if d.Reason.Failure() {
		answer(w, http.StatusInternalServerError, failure{Key: key, Code: "GENERAL", Details: d.Reason.String()})
		return
	}
	answer(w, http.StatusOK, of(f, d))
}

func (h *handler) bulk(w http.ResponseWriter, r *http.Request) {
	who, ok := h.who(w, r, "")
	if !ok {
		return
	}
	if status := h.client.Status(); !status.Ready && status.Flags == 0 {
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, failure{Code: "PROVIDER_NOT_READY", Details: "there are no flags yet"})
		return
	}
	list := []any{}
	for f, d := range h.client.All(&who) {
		switch {
		case f.Private:
		case d.Reason.Failure():
			list = append(list, failure{f.Key, "GENERAL", d.Reason.String()})
		default:
			list = append(list, of(f, d))
		}
	}
	slices.SortFunc(list, func(a, b any) int { return cmp.Compare(keyOf(a), keyOf(b)) })
	text, err := json.Marshal(map[string]any{"flags": list})
	if err != nil {
		answer(w, http.StatusInternalServerError, failure{Code: "GENERAL", Details: err.Error()})
		return
	}
	sum := sha256.Sum256(text)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	write(w, http.StatusOK, text)
}

func of(f *flags.Flag, d flags.Detail[json.RawMessage]) evaluation {
	e := evaluation{Key: f.Key, Value: d.Value, Variant: d.Variant, Reason: d.Reason.OpenFeature()}
	if d.Version != 0 {
		e.Metadata = map[string]any{"version": d.Version}
	}
	return e
}

func keyOf(item any) string {
	if e, ok := item.(evaluation); ok {
		return e.Key
	}
	f, _ := item.(failure)
	return f.Key
}

// matches reports whether a tag is among those of If-None-Match, by the weak comparison.
func matches(lines []string, tag string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.TrimSpace(item)
			if item == "*" || strings.TrimPrefix(item, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// who is the context of a request. If it is not ok, the request has been answered.
func (h *handler) who(w http.ResponseWriter, r *http.Request, key string) (who flags.Context, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.options.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		answer(w, http.StatusRequestEntityTooLarge, failure{key, "GENERAL", fmt.Sprintf("the request is larger than %d bytes", large.Limit)})
		return who, false
	case err != nil:
		answer(w, http.StatusBadRequest, failure{key, "PARSE_ERROR", "the request broke off"})
		return who, false
	}
	var request struct {
		Context map[string]any `json:"context"`
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &request); err != nil {
			answer(w, http.StatusBadRequest, failure{key, "PARSE_ERROR", err.Error()})
			return who, false
		}
	}
	if claimed, given := request.Context["targetingKey"]; given {
		if _, text := claimed.(string); !text {
			answer(w, http.StatusBadRequest, failure{key, "INVALID_CONTEXT", "context.targetingKey is no string"})
			return who, false
		}
	}
	who = flags.FromMap(request.Context)
	if h.options.Who != nil {
		if who, err = h.options.Who(r, who); err != nil {
			answer(w, http.StatusForbidden, failure{key, "GENERAL", err.Error()})
			return who, false
		}
	}
	return who, true
}

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"errorCode":"GENERAL"}`)
	}
	write(w, status, text)
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever has gone needs no answer
}

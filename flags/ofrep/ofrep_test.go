// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ofrep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/ofrep"
)

const document = `{"flags":{
	"beta":{"enabled":true,"rollout":{"type":"users","users":["kim"]},"version":7},
	"color":{"enabled":true,"variants":{"red":"#f00","blue":"#00f"},"rules":[{"when":[{"attribute":"plan.name","op":"in","values":["pro"]}],"variant":"red"}],"default":{"split":[{"variant":"red","percent":0},{"variant":"blue","percent":100}]}},
	"limits":{"enabled":true,"variants":{"a":{"rps":5}},"default":{"variant":"a"}},
	"off":{"enabled":false,"variants":{"a":1},"default":{"variant":"a"}},
	"secret/plan":{"enabled":true,"private":true}}}`

func client(tb testing.TB) (*flags.Client, *flags.Memory) {
	tb.Helper()
	doc, err := flags.ParseDocument([]byte(document))
	if err != nil {
		tb.Fatal(err)
	}
	store := flags.NewMemory()
	store.Replace(doc)
	c, err := flags.New(store, flags.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	tb.Cleanup(func() { stop(); <-done })
	if err := c.Wait(ctx); err != nil {
		tb.Fatal(err)
	}
	return c, store
}

func handler(t *testing.T, options ofrep.Options) http.Handler {
	t.Helper()
	c, _ := client(t)
	h, err := ofrep.New(c, options)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func post(h http.Handler, path, body string, header ...string) (int, string, http.Header) {
	r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String()), w.Header()
}

func TestOneFlagIsEvaluatedAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	h := handler(t, ofrep.Options{})
	for _, c := range []struct {
		key, body string
		status    int
		want      string
	}{
		{"beta", `{"context":{"targetingKey":"kim"}}`, 200, `{"key":"beta","value":true,"variant":"on","reason":"TARGETING_MATCH","metadata":{"version":7}}`},
		{"beta", `{"context":{"targetingKey":"lou"}}`, 200, `{"key":"beta","value":false,"variant":"off","reason":"DEFAULT","metadata":{"version":7}}`},
		{"beta", ``, 200, `{"key":"beta","value":false,"variant":"off","reason":"DEFAULT","metadata":{"version":7}}`},
		{"color", `{"context":{"targetingKey":"kim","plan":{"name":"pro"}}}`, 200, `{"key":"color","value":"#f00","variant":"red","reason":"TARGETING_MATCH"}`},
		{"limits", `{}`, 200, `{"key":"limits","value":{"rps":5},"variant":"a","reason":"STATIC"}`},
		{"off", `{}`, 200, `{"key":"off","reason":"DISABLED"}`},
		{"nowhere", `{}`, 404, `{"key":"nowhere","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no flag \"nowhere\""}`},
		{"secret/plan", `{}`, 404, `{"key":"secret/plan","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no flag \"secret/plan\""}`},
		{"beta", `{"context":`, 400, `{"key":"beta","errorCode":"PARSE_ERROR","errorDetails":"unexpected end of JSON input"}`},
		{"beta", `{"context":{"targetingKey":5}}`, 400, `{"key":"beta","errorCode":"INVALID_CONTEXT","errorDetails":"context.targetingKey is no string"}`},
		{"beta", `{"context":{"x":"` + strings.Repeat("y", ofrep.DefaultMaxBody) + `"}}`, 413, `{"key":"beta","errorCode":"GENERAL","errorDetails":"the request is larger than 65536 bytes"}`},
	} {
		status, body, header := post(h, "/"+c.key, c.body)
		if status != c.status || body != c.want || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %.60s: %d %s\nwant %d %s", c.key, c.body, status, body, c.status, c.want)
		}
	}
}

func TestAllFlagsComeWithATagToAskAgainBy(t *testing.T) {
	t.Parallel()
	c, store := client(t)
	h, err := ofrep.New(c, ofrep.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const kim = `{"context":{"targetingKey":"kim"}}`
	status, body, header := post(h, "", kim)
	const want = `{"flags":[{"key":"beta","value":true,"variant":"on","reason":"TARGETING_MATCH","metadata":{"version":7}},` +
		`{"key":"color","value":"#00f","variant":"blue","reason":"DEFAULT"},` +
		`{"key":"limits","value":{"rps":5},"variant":"a","reason":"STATIC"},{"key":"off","reason":"DISABLED"}]}`
	tag := header.Get("ETag")
	if status != 200 || body != want || tag == "" {
		t.Errorf("%d %s %q", status, body, tag)
	}
	for _, sent := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		if status, body, _ := post(h, "", kim, "If-None-Match", sent); status != 304 || body != "" {
			t.Errorf("%s: %d %s", sent, status, body)
		}
	}
	if status, _, _ := post(h, "", `{"context":{"targetingKey":"lou"}}`, "If-None-Match", tag); status != 200 {
		t.Errorf("somebody else got %d", status)
	}
	f, err := store.Get(t.Context(), "beta")
	if err != nil {
		t.Fatal(err)
	}
	f.Enabled = false
	if _, err := store.Put(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for f := range c.Changes(t.Context(), "beta") {
		if f.Version == 8 {
			break
		}
	}
	if status, body, _ := post(h, "", kim, "If-None-Match", tag); status != 200 || !strings.Contains(body, `"reason":"DISABLED","metadata":{"version":8}`) {
		t.Errorf("after a change: %d %s", status, body)
	}
}

func TestTheServerDecidesWhoAsks(t *testing.T) {
	t.Parallel()
	h := handler(t, ofrep.Options{Who: func(r *http.Request, claimed flags.Context) (flags.Context, error) {
		session := r.Header.Get("Session")
		if session == "" {
			return flags.Context{}, errors.New("log in first")
		}
		return flags.User(session), nil
	}})
	if status, body, _ := post(h, "/beta", `{"context":{"targetingKey":"kim"}}`); status != 403 || !strings.Contains(body, "log in first") {
		t.Errorf("%d %s", status, body)
	}
	if _, body, _ := post(h, "/beta", `{"context":{"targetingKey":"kim"}}`, "Session", "lou"); !strings.Contains(body, `"value":false`) {
		t.Errorf("lou passed for kim: %s", body)
	}
}

func TestOnlyPostEvaluates(t *testing.T) {
	t.Parallel()
	h := handler(t, ofrep.Options{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ofrep/v1/evaluate/flags/beta", http.NoBody))
	if w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
}

func TestWithoutFlagsYetItSaysSo(t *testing.T) {
	t.Parallel()
	c, err := flags.New(flags.NewMemory(), flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := ofrep.New(c, ofrep.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if status, body, header := post(h, "", `{}`); status != 503 || !strings.Contains(body, "PROVIDER_NOT_READY") || header.Get("Retry-After") == "" {
		t.Errorf("%d %s", status, body)
	}
	if _, err := ofrep.New(nil, ofrep.Options{}); err == nil {
		t.Error("a handler without a client was made")
	}
	if _, err := ofrep.New(c, ofrep.Options{MaxBody: -1}); err == nil {
		t.Error("a handler with less than no room was made")
	}
}

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := flags.NewMemory(&flags.Flag{Key: "new-checkout", Enabled: true, Rollout: &flags.Rollout{Type: "users", Users: []string{"kim"}}})
	client, err := flags.New(store, flags.Options{})
	if err != nil {
		panic(err)
	}
	go func() { _ = client.Run(ctx) }() // it ends with ctx
	if err := client.Wait(ctx); err != nil {
		panic(err)
	}
	handler, err := ofrep.New(client, ofrep.Options{})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	response, err := http.Post(server.URL+"/ofrep/v1/evaluate/flags/new-checkout", "application/json", strings.NewReader(`{"context":{"targetingKey":"kim"}}`))
	if err != nil {
		panic(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Print(string(text))
	// Output:
	// {"key":"new-checkout","value":true,"variant":"on","reason":"TARGETING_MATCH","metadata":{"version":1}}
}

// failing is a decision that cannot be made.
type failing struct{}

func (failing) Decide(flags.Context) (string, flags.Reason, error) {
	return "", flags.Failed, errors.New("out of order")
}

func TestAFlagThatFailsTakesNoOtherAlong(t *testing.T) {
	t.Parallel()
	c, store := client(t)
	store.Replace(flags.Document{Flags: map[string]*flags.Flag{
		"a": {Key: "a", Enabled: true}, "b": {Key: "b", Enabled: true, Logic: failing{}}, "c": {Key: "c", Enabled: true},
	}})
	for f := range c.Changes(t.Context(), "b") {
		if f != nil {
			break
		}
	}
	h, err := ofrep.New(c, ofrep.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const failed = `{"key":"b","errorCode":"GENERAL","errorDetails":"failed"}`
	if status, body, _ := post(h, "/b", `{}`); status != 500 || body != failed {
		t.Errorf("%d %s", status, body)
	}
	status, body, header := post(h, "", `{}`)
	const want = `{"flags":[{"key":"a","value":true,"variant":"on","reason":"STATIC"},` + failed + `,{"key":"c","value":true,"variant":"on","reason":"STATIC"}]}`
	if status != 200 || body != want {
		t.Errorf("%d %s\nwant %s", status, body, want)
	}
	// What is one user's is for no shared cache.
	if got := header.Get("Cache-Control"); got != "private, no-cache" {
		t.Error(got)
	}
}

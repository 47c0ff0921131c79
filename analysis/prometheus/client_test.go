// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"github.com/rheostat-go/rheostat/analysis/prometheus"
)

func TestAnAnswerThatIsNoneIsAnErrorThatSaysWhatCame(t *testing.T) {
	t.Parallel()
	const head = `{"status":"success","data":{"resultType":`
	for name, c := range map[string]struct {
		status int
		body   string
		o      prometheus.Options
		want   string
	}{
		"bad query":     {400, `{"status":"error","errorType":"bad_data","error":"parse error at char 3"}`, prometheus.Options{}, "400 Bad Request, bad_data: parse error at char 3"},
		"timeout":       {503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, prometheus.Options{}, "timeout: query timed out"},
		"a gateway":     {502, "<html>bad gateway</html>", prometheus.Options{}, "502 Bad Gateway: <html>"},
		"unauthorized":  {401, "", prometheus.Options{}, "401 Unauthorized"},
		"a redirect":    {300, head + `"matrix","result":[]}}`, prometheus.Options{}, "300"},
		"a page":        {200, "<html>welcome</html>", prometheus.Options{}, "not what the query API answers with"},
		"half":          {200, head + `"matrix","result":[{"metric":{`, prometheus.Options{}, "not what the query API answers with"},
		"a scalar":      {200, head + `"scalar","result":[1,"2"]}}`, prometheus.Options{}, "not what the query API"},
		"no status":     {200, `{}`, prometheus.Options{}, "status"},
		"in part":       {200, head + `"matrix","result":[]},"warnings":["store sg-1 is down"]}`, prometheus.Options{}, "in part: store sg-1 is down"},
		"too long":      {200, head + strings.Repeat(" ", 100) + `"matrix","result":[]}}`, prometheus.Options{MaxBytes: 100}, "MaxBytes, 100"},
		"too many":      {200, head + `"matrix","result":[{"metric":{}},{"metric":{}}]}}`, prometheus.Options{MaxSeries: 1}, "MaxSeries, 1"},
		"more after it": {200, head + `"matrix","result":[]}} x`, prometheus.Options{}, "something follows"},
		"too deep":      {200, strings.Repeat("[", 1000), prometheus.Options{}, "not what"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.says(c.status, c.body)
			_, _, err := source(t, f, simple(), c.o).Counts(t.Context(), check(10*time.Second))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestNoSecretIsInAnError(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for name, o := range map[string]prometheus.Options{
		"down":    {},
		"refused": {HTTP: config.HTTPClientConfig{Authorization: &config.Authorization{Type: "Bearer", Credentials: "hunter2"}}, Headers: map[string]string{"X-Scope-OrgID": "hunter2"}},
		"params":  {Params: url.Values{"token": {"hunter2"}}},
	} {
		address := strings.Replace(f.URL, "http://", "http://admin:hunter2@", 1)
		if name == "down" {
			address = "http://admin:hunter2@127.0.0.1:1"
		}
		f.says(http.StatusForbidden, "no")
		s, err := prometheus.New(address, simple(), o)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Counts(t.Context(), check(time.Second))
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "admin") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, address := range []string{"http://admin:hunter2@host:port:1", "ftp://admin:hunter2@host", "admin:hunter2@host", "http://admin:hunter2@/x"} {
		if _, err := prometheus.New(address, simple(), prometheus.Options{}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New(%q): %v", address, err)
		}
	}
}

func TestRequestsCarryWhatTheServerNeeds(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.scrape(after(time.Second), `requests_total{arm="v1",code="200"}`, 7)
	got := make(chan *http.Request, 8)
	f.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		got <- r.Clone(context.WithoutCancel(r.Context()))
		return false
	})
	s := source(t, f, simple(), prometheus.Options{
		HTTP:    config.HTTPClientConfig{BasicAuth: &config.BasicAuth{Username: "me", Password: "secret"}},
		Headers: map[string]string{"X-Scope-OrgID": "shop"}, Params: url.Values{"dedup": {"true"}, "partial_response": {"false"}},
		Timeout: 3 * time.Second, Delay: 4 * time.Second,
	})
	counts(t, s, check(10*time.Second))
	<-got
	r := <-got
	user, password, _ := r.BasicAuth()
	if user != "me" || password != "secret" || r.Header.Get("X-Scope-OrgID") != "shop" || r.Method != http.MethodPost {
		t.Errorf("%s with %v", r.Method, r.Header)
	}
	want := url.Values{
		"query":   {`{__name__="requests_total",arm=~"v1|v2"}[26000ms]`},
		"time":    {fmt.Sprintf("%d.000", start.Add(6*time.Second).Unix())},
		"timeout": {"3000ms"}, "dedup": {"true"}, "partial_response": {"false"},
	}
	if !reflect.DeepEqual(r.PostForm, want) {
		t.Errorf("asked %v, want %v", r.PostForm, want)
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	f.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	s := source(t, f, simple(), prometheus.Options{Timeout: time.Millisecond})
	_, _, err := s.Counts(t.Context(), check(time.Second))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 1ms") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	if _, _, err := s.Counts(ctx, check(time.Second)); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("error %v", err)
	}
}

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*prometheus.Query, *prometheus.Options){
		"Stable is empty": func(q *prometheus.Query, _ *prometheus.Options) { q.Stable = "" },
		"Candidate":       func(q *prometheus.Query, _ *prometheus.Options) { q.Candidate = `arm='v2'` },
		"Where":           func(q *prometheus.Query, _ *prometheus.Options) { q.Where = `arm` },
		"Requests":        func(q *prometheus.Query, _ *prometheus.Options) { q.Requests = `rate(x[1m])` },
		"Errors \"\"":     func(q *prometheus.Query, _ *prometheus.Options) { q.Errors = "" },
		"$canary":         func(q *prometheus.Query, _ *prometheus.Options) { q.Candidate = `arm="$canary"` },
		"between [ and ]": func(q *prometheus.Query, _ *prometheus.Options) { q.Candidate = `arm=~"[$candidate]"` },
		"missing closing": func(q *prometheus.Query, _ *prometheus.Options) { q.Candidate = `arm=~"(v"` },
		"Unit":            func(q *prometheus.Query, _ *prometheus.Options) { q.Unit = -1 },
		"Latency chooses": func(q *prometheus.Query, _ *prometheus.Options) { q.Latency = `l_bucket{le="1"}` },
		"Timeout":         func(_ *prometheus.Query, o *prometheus.Options) { o.Timeout = -1 },
		"MaxSeries":       func(_ *prometheus.Query, o *prometheus.Options) { o.MaxSeries = -1 },
		"MaxBytes":        func(_ *prometheus.Query, o *prometheus.Options) { o.MaxBytes = -1 },
		"parameter query": func(_ *prometheus.Query, o *prometheus.Options) { o.Params = url.Values{"query": {"x"}} },
		"header \"X\"":    func(_ *prometheus.Query, o *prometheus.Options) { o.Headers = map[string]string{"X": "a\nb"} },
		"at most one of": func(_ *prometheus.Query, o *prometheus.Options) {
			o.HTTP.BearerToken, o.HTTP.BearerTokenFile = "a", "b"
		},
		"label's name":           func(q *prometheus.Query, _ *prometheus.Options) { q.Where = `__name__="x"` },
		"want a comma":           func(q *prometheus.Query, _ *prometheus.Options) { q.Where = `a="1" b="2"` },
		`used beside \Q`:         func(q *prometheus.Query, _ *prometheus.Options) { q.Stable = "arm=~`\\Q$stable\\E`" },
		"nothing after the name": func(q *prometheus.Query, _ *prometheus.Options) { q.Requests = `x{a="1"}[5m]` },
	} {
		q, o := simple(), prometheus.Options{}
		change(&q, &o)
		if _, err := prometheus.New("http://localhost:9090", q, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %s", err, want)
		}
	}
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/web"
)

func TestPlaceholdersAreFilledInWhereTheyStand(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization") + " " + string(body)
		_, _ = io.WriteString(w, `{"value": 1}`)
	})
	c := question()
	c.Service, c.Candidate, c.Target = "a/b c", `v"2&x=`, ""
	e := endpoint(t, base+"/v1/{service}/arms?of={candidate}&t={target}&from={exposed}&to={until.ms}", web.Options{
		Body:   `{"arm": "{candidate}", "run": {run}, "step": [{step}], "from": "{since}", "until": {until.unix}, "more": {}}`,
		Header: http.Header{"authorization": {"Bearer secret"}},
	})
	if err := read(t, e)(t.Context(), c); err == nil {
		t.Error("a number was taken for counts")
	}
	want := `POST /v1/a%2Fb%20c/arms?of=v%222%26x%3D&t=&from=2026-01-02T03%3A00%3A00Z&to=1767326460000 Bearer secret ` +
		`{"arm": "v\"2\u0026x=", "run": 3, "step": [1], "from": "2026-01-02T04:00:00Z", "until": 1767326460, "more": {}}`
	if got := <-asked; got != want {
		t.Errorf("asked\n%s\nwant\n%s", got, want)
	}
}

// read asks an endpoint once, by way of its counts.
func read(t *testing.T, e *web.Endpoint) func(context.Context, analysis.Check) error {
	t.Helper()
	src := source(t, e, web.Fields{})
	return func(ctx context.Context, c analysis.Check) error {
		_, _, err := src.Counts(ctx, c)
		return err
	}
}

func TestAPlaceholderCannotLeadOutOfThePath(t *testing.T) {
	t.Parallel()
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.RequestURI) })
	for _, service := range []string{"..", ".", "x/../../admin", `..\admin`, ""} {
		c := question()
		c.Service = service
		if err := read(t, endpoint(t, base+"/v1/{service}/counts", web.Options{}))(t.Context(), c); err == nil || !strings.Contains(err.Error(), "path") {
			t.Errorf("service %q: %v", service, err)
		}
	}
	c := question()
	c.Service = "."
	if err := read(t, endpoint(t, base+"/v1/.{service}/counts", web.Options{}))(t.Context(), c); err == nil {
		t.Error("two dots in two parts were asked for")
	}
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	t.Parallel()
	const good = `{"stable":{"requests":9,"errors":1},"candidate":{"requests":9,"errors":1}}`
	for answer, want := range map[string]string{
		``:                                     "not JSON",
		`{`:                                    "not JSON",
		good + `]`:                             "goes on",
		`{"stable":{"requests":9,"errors":1}}`: `Fields.Candidate.Requests at "/candidate/requests": the answer has nothing there`,
		`{"stable":{"requests":9,"errors":1},"candidate":{"requests":9}}`:                `Fields.Candidate.Errors at "/candidate/errors"`,
		`{"stable":{"requests":null,"errors":1},"candidate":{"requests":9,"errors":1}}`:  "null is no count",
		`{"stable":{"requests":-1,"errors":1},"candidate":{"requests":9,"errors":1}}`:    "no count",
		`{"stable":{"requests":1.5,"errors":1},"candidate":{"requests":9,"errors":1}}`:   "no count",
		`{"stable":{"requests":1e300,"errors":1},"candidate":{"requests":9,"errors":1}}`: "no count",
		`{"stable":{"requests":"NaN","errors":1},"candidate":{"requests":9,"errors":1}}`: "no count",
		`{"stable":{"requests":"0x9","errors":1},"candidate":{"requests":9,"errors":1}}`: "no count",
		`{"stable":{"requests":true,"errors":1},"candidate":{"requests":9,"errors":1}}`:  "a boolean is no count",
		`{"stable":{"requests":[],"errors":1},"candidate":{"requests":9,"errors":1}}`:    "an array is no count",
		`{"stable":{"requests":{},"errors":1},"candidate":{"requests":9,"errors":1}}`:    "an object is no count",
		`"` + strings.Repeat("x", 1000) + `"`:                                            "more than MaxBytes, 500",
	} {
		e := endpoint(t, answering(t, answer)+"/v1?key=secret", web.Options{MaxBytes: 500})
		err := read(t, e)(t.Context(), question())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/v1: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60s: %v, want %q", answer, err, want)
		}
		// No error is a reason to say that nobody asked for anything.
		if stable, candidate, _ := source(t, e, web.Fields{}).Counts(t.Context(), question()); stable.Requests+candidate.Requests != 0 {
			t.Errorf("%.60s: counts with an error: %v %v", answer, stable, candidate)
		}
	}
	src := source(t, endpoint(t, answering(t, `{"candidate":{"errors":1}}`), web.Options{}), web.Fields{AbsentIsZero: true})
	if _, _, err := src.Counts(t.Context(), question()); err == nil {
		t.Error("an arm with errors and no requests was taken for one without")
	}
	for _, took := range []string{`null`, `[1,2]`, `[1,2,3,4]`, `[1,2,"x"]`, `{"0":1}`} {
		arm := web.Arm{Requests: "/n", Errors: "/n", Latency: "/took"}
		f := web.Fields{Stable: arm, Candidate: arm, Bounds: []time.Duration{1, 2}}
		src := source(t, endpoint(t, answering(t, `{"n":1,"took":`+took+`}`), web.Options{}), f)
		if _, _, err := src.Counts(t.Context(), question()); err == nil || !strings.Contains(err.Error(), "/took") {
			t.Errorf("latencies %s: %v", took, err)
		}
	}
	for _, since := range []string{`null`, `"yesterday"`, `-1`, `1.5`, `1e40`, `true`} {
		arm := web.Arm{Requests: "/n", Errors: "/n", Since: "/since"}
		src := source(t, endpoint(t, answering(t, `{"n":1,"since":`+since+`}`), web.Options{}), web.Fields{Stable: arm, Candidate: arm})
		if _, _, err := src.Counts(t.Context(), question()); err == nil || !strings.Contains(err.Error(), "/since") {
			t.Errorf("since %s: %v", since, err)
		}
	}
}

func TestANumberIsReadWithWhatItRestsOn(t *testing.T) {
	t.Parallel()
	n := web.Number{Value: "/{candidate}/p", N: "/{candidate}/n", Baseline: "/{stable}/p", BaselineN: "/{stable}/n"}
	for answer, want := range map[string]string{
		`{"candidate":{"p":0.9,"n":10},"stable":{"p":0.1,"n":90}}`:    "fail depth of the candidate was 0.9 over 10 samples, limit 0.5, stable 0.1",
		`{"candidate":{"p":"0.4","n":10},"stable":{"p":0.1,"n":90}}`:  "pass depth of the candidate was 0.4 over 10 samples, limit 0.5, stable 0.1",
		`{"candidate":{"p":"-Inf","n":10},"stable":{"p":0.1,"n":90}}`: "not a number",
		`{"candidate":{"p":null,"n":10}}`:                             "inconclusive nothing was measured",
		`{"candidate":{"p":1e999,"n":10},"stable":{"p":0.1,"n":90}}`:  `Number.Value at "/candidate/p": it is no number`,
		`{"candidate":{"p":[],"n":10},"stable":{"p":0.1,"n":90}}`:     "an array is no number",
		`{"candidate":{"p":1,"n":-1},"stable":{"p":0.1,"n":90}}`:      "Number.N at",
		`{"candidate":{"p":1,"n":1},"stable":{"p":0.1}}`:              "Number.BaselineN at",
		`{"candidate":{"p":1,"n":1},"stable":{}}`:                     "Number.Baseline at",
		`{"candidate":{}}`: "Number.Value at",
	} {
		metric, err := endpoint(t, answering(t, answer), web.Options{}).Value("depth", n)
		if err != nil {
			t.Fatal(err)
		}
		judge, err := analysis.NewThreshold(metric, analysis.AtMost(0.5), analysis.ThresholdOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := judge.Judge(t.Context(), question())
		if err != nil || !strings.Contains(f.Verdict.String()+" "+f.Reason, want) {
			t.Errorf("%s: %v %v, %v, want %q", answer, f.Verdict, f.Reason, err, want)
		}
	}
}

func TestAnErrorSaysTheStatusAndNothingSecret(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "top secret", http.StatusTeapot)
	})
	o := web.Options{Header: http.Header{"X-Key": {"secret"}}, Sign: func(r *http.Request) error {
		r.URL.RawQuery += "&signature=secret"
		return nil
	}}
	err := read(t, endpoint(t, base+"/v1/{service}?key=secret", o))(t.Context(), question())
	if want := "web: " + base + "/v1/checkout: status 418, want 200"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	o.Status = http.StatusTeapot
	if err := read(t, endpoint(t, base, o))(t.Context(), question()); err == nil || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("the status that was asked for: %v", err)
	}
	mine := errors.New("no token")
	o.Sign = func(*http.Request) error { return mine }
	if err := read(t, endpoint(t, base, o))(t.Context(), question()); !errors.Is(err, mine) {
		t.Errorf("a request that could not be signed: %v", err)
	}
}

// TestWhatIsNotHTTPIsNotQuoted speaks to something that is no web server.
func TestWhatIsNotHTTPIsNotQuoted(t *testing.T) {
	t.Parallel()
	for _, says := range []string{"SECRET-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nSECRET\r\n\r\n", "HTTP/1.1 SECRET\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\n", ""} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, says)
				_ = c.Close()
			}
		}()
		for _, scheme := range []string{"http", "https"} {
			err := read(t, endpoint(t, scheme+"://"+l.Addr().String()+"/?key=SECRET", web.Options{}))(t.Context(), question())
			if err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s of %q: %v", scheme, says, err)
			}
		}
	}
}

func TestASlowAnswerEnds(t *testing.T) {
	t.Parallel()
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush() // a recorder cannot, this one can
		}
		<-r.Context().Done()
	})
	for _, path := range []string{"/head", "/body"} {
		err := read(t, endpoint(t, base+path, web.Options{Timeout: 20 * time.Millisecond}))(t.Context(), question())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 20ms") {
			t.Errorf("%s: %v", path, err)
		}
		mine := errors.New("the rollout is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(mine) })
		if err := read(t, endpoint(t, base+path, web.Options{}))(ctx, question()); !errors.Is(err, mine) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", path, err)
		}
		if err := read(t, endpoint(t, base+path, web.Options{}))(ctx, question()); !errors.Is(err, mine) {
			t.Errorf("%s, cancelled before: %v", path, err)
		}
	}
}

func TestARedirectStaysOnTheHost(t *testing.T) {
	t.Parallel()
	const good = `{"stable":{"requests":9,"errors":1},"candidate":{"requests":9,"errors":1}}`
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(other.Close)
	handler := http.NewServeMux()
	handler.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) })
	handler.HandleFunc("/there", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) })
	handler.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	handler.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	handler.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/there", http.StatusFound)
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // one client below does not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	tlsConfig := server.Client().Transport.(*http.Transport).TLSClientConfig //nolint:errcheck // httptest says so
	for path, ok := range map[string]bool{"/here": true, "/there": true, "/round": false, "/away": false, "/down": false} {
		err := read(t, endpoint(t, server.URL+path, web.Options{TLS: tlsConfig}))(t.Context(), question())
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "redirected") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := read(t, endpoint(t, server.URL+"/there", web.Options{}))(t.Context(), question()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestAProxyIsUsedWhereItIsGiven(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 8) // more than are asked for
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		_, _ = io.WriteString(w, `{"stable":{"requests":9,"errors":1},"candidate":{"requests":9,"errors":1}}`)
	})
	proxy, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	o := web.Options{Proxy: proxy}
	for to, ok := range map[string]bool{
		"http://stats.example/v1": true, "http://192.0.32.8/v1": true, "http://127.0.0.1/v1": false, "http://169.254.169.254/v1": false, "http://[::1]/v1": false,
	} {
		e, err := web.New(to, o)
		if err != nil {
			t.Fatal(err)
		}
		if err = read(t, e)(t.Context(), question()); (err == nil) != ok || !ok && !errors.Is(err, web.ErrBlocked) {
			t.Errorf("%s: %v", to, err)
		}
		if ok {
			if got := <-asked; got != to {
				t.Errorf("the proxy was asked for %s, want %s", got, to)
			}
		}
	}
}

func TestTheErrorOfNewNamesTheField(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address string
		o       web.Options
		want    string
	}{
		{"", web.Options{}, "address"},
		{"stats.example.com", web.Options{}, "address"},
		{"ftp://stats.example.com", web.Options{}, "address"},
		{"http://", web.Options{}, "address"},
		{"http://me:secret@x/", web.Options{}, "Authorization"},
		{"http://{service}.example.com/", web.Options{}, "host"},
		{"http://x:{run}/", web.Options{}, "host"},
		{"http://x:port/secret", web.Options{}, "address"},
		{"http://x/{servce}", web.Options{}, "{servce}"},
		{"http://x/{", web.Options{}, "brace"},
		{"http://x/}", web.Options{}, "brace"},
		{"http://x/?q={}", web.Options{}, "query: a brace"},
		{"http://x/?q=%zz", web.Options{}, "query"},
		{"http://x/%zzsecret", web.Options{}, "address"},
		{"http://x/a/../b", web.Options{}, "upwards"},
		{"http://x/a b", web.Options{}, "percent"},
		{"http://x/#secret", web.Options{}, "fragment"},
		{"http://x/", web.Options{Method: "PUT"}, "Method"},
		{"http://x/", web.Options{Method: "GET", Body: "{}"}, "Body"},
		{"http://x/", web.Options{Body: `{"a": {service}}`}, "inside of a string"},
		{"http://x/", web.Options{Body: `{"a": "{servce}"}`}, "{servce}"},
		{"http://x/", web.Options{Timeout: -1}, "Timeout"},
		{"http://x/", web.Options{Status: 99}, "Status"},
		{"http://x/", web.Options{MaxBytes: -1}, "MaxBytes"},
		{"http://x/", web.Options{MaxBytes: 1 << 40}, "MaxBytes"},
		{"http://x/", web.Options{Header: http.Header{"A b": {"secret"}}}, "Header"},
		{"http://x/", web.Options{Header: http.Header{"A": {"secret\r\nB: c"}}}, "Header"},
		{"http://x/", web.Options{Proxy: &url.URL{Scheme: "file", Path: "/secret"}}, "Proxy"},
	} {
		_, err := web.New(tt.address, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "web: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q %+v: %v, want %q", tt.address, tt.o, err, tt.want)
		}
	}
	e := endpoint(t, "http://x/", web.Options{})
	arm := web.Arm{Requests: "/a", Errors: "/b"}
	for want, f := range map[string]web.Fields{
		"Fields.Stable.Errors":      {Stable: web.Arm{Requests: "/a"}},
		"Fields.Candidate.Requests": {Candidate: web.Arm{Requests: "a", Errors: "/b"}},
		"Fields.Candidate.Since":    {Candidate: web.Arm{Since: "/~2"}},
		"Fields.Stable.Since":       {Stable: web.Arm{Since: "/{x}"}},
		"Fields.Stable.Latency":     {Stable: web.Arm{Latency: "/l"}, Candidate: arm},
		"Fields.Candidate.Latency":  {Stable: web.Arm{Latency: "/l"}, Candidate: arm, Bounds: []time.Duration{1}},
		"Fields.Bounds":             {Bounds: []time.Duration{2, 1}},
	} {
		if _, err := e.Source(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", f, err, want)
		}
	}
	for want, n := range map[string]web.Number{
		"Number.Value": {Value: "x"}, "Number.N": {N: "/~"}, "Number.BaselineN": {Baseline: "/b"}, "Number.Baseline": {BaselineN: "/n"},
	} {
		if _, err := e.Value("x", n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", n, err, want)
		}
	}
	if _, err := e.Value("", web.Number{}); err == nil {
		t.Error("a number without a name was taken")
	}
}

func FuzzAPlaceholderStaysInItsPlace(f *testing.F) {
	for _, s := range []string{"checkout", "../x", "a?b#c", "a&b=c", `"},{"`, "%2e%2e", "{service}", "é\x00\n", `\u0022`} {
		f.Add(s)
	}
	type request struct{ uri, body string }
	asked := make(chan request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- request{r.RequestURI, string(body)}
	}))
	f.Cleanup(server.Close)
	e, err := web.New(server.URL+"/v1/{service}/end?of={service}&last=1", web.Options{AllowPrivate: true, Body: `{"a": "{service}", "last": {run}}`})
	if err != nil {
		f.Fatal(err)
	}
	src, err := e.Source(web.Fields{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, service string) {
		c := question()
		c.Service = service
		if _, _, err := src.Counts(t.Context(), c); err == nil {
			t.Fatal("no answer is no error")
		}
		var got request
		select {
		case got = <-asked:
		default:
			return // refused
		}
		path, query, _ := strings.Cut(got.uri, "?")
		parts := strings.Split(path, "/")
		if len(parts) != 4 || parts[1] != "v1" || parts[3] != "end" {
			t.Fatalf("%q came to the path %q", service, path)
		}
		if plain, err := url.PathUnescape(parts[2]); err != nil || plain != service {
			t.Fatalf("%q came to the path %q, %v", service, path, err)
		}
		values, err := url.ParseQuery(query)
		if err != nil || len(values) != 2 || len(values["of"]) != 1 || values.Get("of") != service || values.Get("last") != "1" {
			t.Fatalf("%q came to the query %q, %v", service, query, err)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body) != 2 || body["a"] != strings.ToValidUTF8(service, "\ufffd") && len(service) == len(strings.ToValidUTF8(service, "")) {
			t.Fatalf("%q came to the body %q, %v", service, got.body, err)
		}
	})
}

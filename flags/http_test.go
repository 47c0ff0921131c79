// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags_test

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rheostat-go/rheostat/flags"
	"github.com/rheostat-go/rheostat/flags/flagstest"
)

// site serves a document with a tag, unless it is down.
type site struct {
	text        atomic.Pointer[[]byte]
	down        atomic.Bool
	full, spare atomic.Int64 // answers with and without a body
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		http.Error(w, "secret inside", http.StatusBadGateway)
		return
	}
	text := *s.text.Load()
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(text))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		s.spare.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.full.Add(1)
	_, _ = w.Write(text)
}

func serve(tb testing.TB, h http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL
}

func fetching(tb testing.TB, address string, o flags.HTTPOptions) flags.Source {
	tb.Helper()
	if o.Interval == 0 {
		o.Interval = soon
	}
	source, err := flags.HTTP(address, o)
	if err != nil {
		tb.Fatal(err)
	}
	return source
}

func TestHTTPKeepsTheLaw(t *testing.T) {
	flagstest.Run(t, func(t *testing.T) flagstest.Subject {
		t.Helper()
		s := new(site)
		d := newTexts(t, func(text []byte) error {
			s.text.Store(&text)
			return nil
		})
		address := serve(t, s)
		subject := d.subject(fetching(t, address, flags.HTTPOptions{}))
		subject.Another = func(context.Context) (flags.Source, error) { return fetching(t, address, flags.HTTPOptions{}), nil }
		subject.Break = func(context.Context) (func(), error) {
			s.down.Store(true)
			return func() { s.down.Store(false) }, nil
		}
		return subject
	})
}

func TestWhatHasNotChangedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := new(site)
	text := []byte(`{"flags":{"a":{"enabled":true}}}`)
	s.text.Store(&text)
	source := fetching(t, serve(t, s), flags.HTTPOptions{})
	client, err := flags.New(source, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	eventually(t, "it was asked often", func() bool { return s.spare.Load() > 5 })
	if n := s.full.Load(); n != 1 {
		t.Errorf("the document was sent %d times", n)
	}
	before, _ := client.Flag("a")
	s.down.Store(true)
	eventually(t, "the status says so", func() bool { return client.Status().Err != nil })
	if err := client.Status().Err.Error(); strings.Contains(err, "inside") || !strings.Contains(err, "502") {
		t.Errorf("the error is %s", err)
	}
	if !client.Bool("a", false, nil) {
		t.Error("an outage has taken the flag away")
	}
	s.down.Store(false)
	eventually(t, "the status is well", func() bool { return client.Status().Err == nil })
	if after, _ := client.Flag("a"); after != before || s.full.Load() != 1 {
		t.Errorf("after the outage the document was sent again: %d times", s.full.Load())
	}
}

func TestWhatIsNoDocumentIsAnErrorWithoutSecrets(t *testing.T) {
	t.Parallel()
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%v came to another host", r.Header) }))
	release := make(chan struct{})
	defer close(release)
	for name, tt := range map[string]struct {
		do   http.HandlerFunc
		want string
	}{
		"garbage":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "flags: document"},
		"no flags":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }, "no field"},
		"not modified": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }, "304"},
		"refused":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401"},
		"no content":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "204"},
		"too long":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat(" ", 2000)) }, "more than 1000 bytes"},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, blank{}, 10<<20)
			_ = z.Close()
		}, "more than 1000 bytes"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"flags":`)
		}, "unexpected EOF"},
		"another host": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, http.StatusFound) }, "another host"},
		"a circle": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again?key=s3cret", http.StatusFound)
		}, "too many redirects"},
		"hanging": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}, "deadline"},
	} {
		address := strings.Replace(serve(t, tt.do), "http://", "http://user:s3cret@", 1) + "/flags?key=s3cret#s3cret"
		header := func(_ context.Context, h http.Header) error {
			h.Set("X-Api-Key", "s3cret")
			return nil
		}
		timeout := 20 * time.Second
		if name == "hanging" {
			timeout = 10 * time.Millisecond
		}
		source := fetching(t, address, flags.HTTPOptions{Limit: 1000, Header: header, Timeout: timeout})
		err := source.Watch(t.Context(), func(flags.Update) { t.Errorf("%s: published", name) })
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "/flags") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// blank is a text of spaces without end.
type blank struct{}

func (blank) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAnAddressThatIsNoneIsSaidWithoutIt(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "flags.json", "ftp://host/s3cret", "http://user:s3cret@host:port:s3cret/", "http:///x", "\x00s3cret"} {
		if _, err := flags.HTTP(address, flags.HTTPOptions{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", address, err)
		}
	}
	cause := errors.New("no token")
	source := fetching(t, "http://127.0.0.1:1", flags.HTTPOptions{Header: func(context.Context, http.Header) error { return cause }})
	if err := source.Watch(t.Context(), nil); !errors.Is(err, cause) {
		t.Errorf("where the header cannot be had: %v", err)
	}
}

func TestALargeCompressedDocumentComesWithItsHeader(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("X-Team") != "growth" || user != "u" || password != "p" || r.Header.Get("Accept-Encoding") != "gzip" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"flags":{"a":{"enabled":true,"variants":{"x":"`+strings.Repeat("x", size)+`"},"default":{"variant":"x"}}}}`)
		_ = z.Close()
	}))
	source := fetching(t, strings.Replace(address, "//", "//u:p@", 1), flags.HTTPOptions{Interval: time.Hour, Header: func(_ context.Context, h http.Header) error {
		h.Set("X-Team", "growth")
		return nil
	}})
	client, err := flags.New(source, flags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, client)
	if err := client.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(client.String("a", "", nil)); n != size {
		t.Errorf("a value of %d bytes came as %d", size, n)
	}
}

// answers is a transport that answers without a network, and notes when it was asked.
type answers struct {
	mu    sync.Mutex
	list  []http.Header // with the status in Status
	asked []time.Time
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	header := a.list[min(len(a.asked), len(a.list)-1)]
	a.asked = append(a.asked, time.Now())
	response := &http.Response{StatusCode: http.StatusOK, Header: header, Request: r, Body: io.NopCloser(strings.NewReader(`{"flags":{}}`))}
	if header.Get("Retry-After") != "" {
		response.StatusCode = http.StatusServiceUnavailable
	}
	return response, nil
}

func TestAServerIsLeftAloneForAsLongAsItWants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		date := time.Now().Add(120 * time.Second).UTC().Format(http.TimeFormat)
		server := &answers{list: []http.Header{
			{"Retry-After": {"100"}}, {"Retry-After": {date}}, {"Retry-After": {"99999999"}}, {"Retry-After": {"soon"}}, {},
		}}
		source := fetching(t, "http://host/", flags.HTTPOptions{Interval: time.Minute, Client: &http.Client{Transport: server}})
		client, err := flags.New(source, flags.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = client.Run(ctx) // it ends with ctx
		}()
		if err := client.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		cancel()
		<-ended
		at := make([]time.Duration, len(server.asked))
		for i, asked := range server.asked {
			at[i] = asked.Sub(server.asked[0])
		}
		for i, want := range []time.Duration{0, 100 * time.Second, 120 * time.Second, 120*time.Second + time.Hour} {
			if late := at[i] - want; late < -time.Second || late > 5*time.Second {
				t.Errorf("request %d came after %v, want %v", i, at[i], want)
			}
		}
		if n := len(at) - 4; n < 54 || n > 68 {
			t.Errorf("in an hour it was asked %d times, want about once a minute", n)
		}
		even := true
		for i := 6; i < len(at); i++ {
			pause := at[i] - at[i-1]
			if pause < 54*time.Second || pause > 66*time.Second {
				t.Errorf("a pause of %v", pause)
			}
			even = even && pause == at[i-1]-at[i-2]
		}
		if even {
			t.Error("the pauses are not drawn")
		}
	})
}

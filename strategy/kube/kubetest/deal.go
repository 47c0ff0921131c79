// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// end is closed when the faults stop. The caller holds mu.
func (f *Faults) end() chan struct{} {
	if f.ended == nil {
		f.ended = make(chan struct{})
	}
	return f.ended
}

// statuses are the faults that are an answer of the server.
var statuses = map[Fault]metav1.Status{
	Conflict:    {Code: http.StatusConflict, Reason: metav1.StatusReasonConflict, Message: "the object has been modified; please apply your changes to the latest version and try again"},
	Invalid:     {Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: "the object is invalid"},
	TooMany:     {Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: "too many requests, please try again later"},
	Internal:    {Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: "etcdserver: leader changed"},
	Unavailable: {Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable, Message: "the server is currently unable to handle the request"},
	Expired:     {Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "too old resource version"},
}

func (f *Faults) roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	fault, ended := f.deal(r)
	if fault == "" {
		return next.RoundTrip(r)
	}
	if fault == Lost {
		response, err := next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		// Read it to its end: the request is done when the server has said all of it.
		_, err = io.Copy(io.Discard, response.Body)
		if err := closing(response.Body, err); err != nil {
			return nil, err
		}
		return nil, noReply{r.Method + " " + r.URL.Path}
	}
	// From here on nobody else reads the request.
	if r.Body != nil {
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	switch fault {
	case Dropped:
		return nil, noReply{r.Method + " " + r.URL.Path}
	case Silent:
		return answer(r, http.StatusOK, newSilence(r.Context().Done(), ended)), nil
	default:
		return refusal(r, statuses[fault])
	}
}

// refusal is an answer that is not what was asked for.
func refusal(r *http.Request, status metav1.Status) (*http.Response, error) {
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	status.Status = metav1.StatusFailure
	status.Message = "kubetest: " + status.Message
	body, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return answer(r, int(status.Code), io.NopCloser(bytes.NewReader(body))), nil
}

// deal says what happens to a request, and counts it.
func (f *Faults) deal(r *http.Request) (Fault, <-chan struct{}) {
	key := requestKey(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped || f.Only != nil && !f.Only(r) {
		return "", nil
	}
	if f.seen == nil {
		f.seen, f.dealt = map[string]uint64{}, map[Fault]int{}
	}
	n := f.seen[key]
	f.seen[key]++
	fault := f.Rates.draw(share(f.Seed, key, n))
	if fault == "" || !fits(fault, r) {
		return "", nil
	}
	f.dealt[fault]++
	if len(f.log) < logLimit {
		f.log = append(f.log, string(fault)+": "+r.Method+" "+r.URL.Path)
	}
	return fault, f.end()
}

// draw says which fault a number from 0 to 1 falls into.
func (r Rates) draw(x float64) Fault {
	for _, c := range []struct {
		fault Fault
		share float64
	}{
		{Lost, r.Lost},
		{Dropped, r.Dropped},
		{Conflict, r.Conflict},
		{Invalid, r.Invalid},
		{TooMany, r.TooMany},
		{Internal, r.Internal},
		{Unavailable, r.Unavailable},
		{Silent, r.Silent},
		{Expired, r.Expired},
	} {
		if x < c.share {
			return c.fault
		}
		x -= c.share
	}
	return ""
}

// fits says whether a server would ever do this to the request.
func fits(fault Fault, r *http.Request) bool {
	switch fault {
	case Silent, Expired:
		return watches(r)
	case Lost:
		return !watches(r)
	case Conflict:
		return r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodDelete
	case Invalid:
		return r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodPost
	default:
		return true
	}
}

func watches(r *http.Request) bool {
	watch := r.URL.Query().Get("watch")
	return watch == "true" || watch == "1"
}

// requestKey is what counts as the same request. The namespace of a test has another name
// in each run.
func requestKey(r *http.Request) string {
	before, after, ok := strings.Cut(r.URL.Path, "/namespaces/")
	path := r.URL.Path
	if ok {
		_, rest, _ := strings.Cut(after, "/")
		path = before + "/namespaces/*/" + rest
	}
	if watches(r) {
		return "WATCH " + path
	}
	return r.Method + " " + path
}

// share is a number from 0 to 1, the same for the same arguments.
func share(seed uint64, key string, n uint64) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // a hash takes everything
	return rand.New(rand.NewPCG(seed, h.Sum64()^n*0x9e3779b97f4a7c15)).Float64()
}

func answer(r *http.Request, code int, body io.ReadCloser) *http.Response {
	return &http.Response{
		Status: http.StatusText(code), StatusCode: code, Request: r, Body: body, ContentLength: -1,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
	}
}

// noReply is a time-out, for that is all that a client can tell.
type noReply struct{ request string }

func (e noReply) Error() string { return "kubetest: no reply to " + e.request }

// Timeout makes it a net.Error.
func (noReply) Timeout() bool { return true }

// Temporary makes it a net.Error.
func (noReply) Temporary() bool { return true }

// silence is the body of a watch in which nothing happens. It ends when the request is
// given up, the faults stop, or it is closed.
type silence struct {
	gone, ended <-chan struct{}
	closed      chan struct{}
	close       func()
}

func newSilence(gone, ended <-chan struct{}) *silence {
	closed := make(chan struct{})
	return &silence{gone: gone, ended: ended, closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Read waits for the end.
func (s *silence) Read([]byte) (int, error) {
	select {
	case <-s.gone:
	case <-s.ended:
	case <-s.closed:
	}
	return 0, io.EOF
}

// Close ends it.
func (s *silence) Close() error {
	s.close()
	return nil
}

// closing closes c, and returns the first of the two errors.
func closing(c io.Closer, err error) error {
	if other := c.Close(); err == nil {
		return other
	}
	return err
}

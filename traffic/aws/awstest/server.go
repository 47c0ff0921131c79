// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// maxBody bounds a request.
const maxBody = 1 << 20

// Server is the services of one account. It is safe for concurrent use.
type Server struct {
	// Beanstalk, Balancing, DNS and Functions are the services.
	Beanstalk *Beanstalk
	Balancing *Balancing
	DNS       *DNS
	Functions *Functions

	http   *httptest.Server
	closed chan struct{}

	mu      sync.Mutex // also guards the state of the services
	calls   map[string]int
	planned map[string][]Failure
	all     *Failure
}

// New starts a server on a free port of the loopback interface. Close ends it.
func New() *Server {
	s := &Server{calls: map[string]int{}, planned: map[string][]Failure{}, closed: make(chan struct{})}
	s.Beanstalk = &Beanstalk{server: s}
	s.Balancing = &Balancing{server: s, listeners: map[string]*node{}, rules: map[string]*node{}, health: map[string]Health{}}
	s.DNS = &DNS{server: s, zones: map[string]*zone{}, changes: map[string]*change{}}
	s.Functions = &Functions{server: s, functions: map[string]*function{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Close ends the server, and lets go of calls that hang.
func (s *Server) Close() {
	close(s.closed)
	s.http.Close()
}

// URL is where the server listens, for an SDK's BaseEndpoint.
func (s *Server) URL() string { return s.http.URL }

// Config is what the SDK needs to talk to this server. It tries twice,
// a millisecond apart, and gives up on a reply after two seconds.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(s.http.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
		HTTPClient: &http.Client{Transport: s.http.Client().Transport, Timeout: 2 * time.Second},
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = 2, time.Millisecond
				o.RateLimiter = ratelimit.None // a test retries as often as it likes
			})
		},
	}
}

// Calls is how often an operation was asked for, such as "UpdateAlias", failures included.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Kind is how a call fails.
type Kind uint8

const (
	// Refused answers with the failure's Code and Status, and changes nothing.
	Refused Kind = iota
	// Down closes the connection before anything is read.
	Down
	// Lost carries the call out, and closes the connection instead of answering.
	Lost
	// Hanging reads the call, and neither carries it out nor answers until the client goes.
	Hanging
	// Garbage answers 200 with what is no answer, and changes nothing.
	Garbage
)

// Failure is what happens to a call.
type Failure struct {
	Kind Kind
	// Status, Code and Message are the answer of a Refused call. Status 0 is 400.
	Status        int
	Code, Message string
}

// Throttled is how the service behind an operation says that there were too many calls.
func Throttled(operation string) Failure {
	switch operation {
	case "ChangeResourceRecordSets":
		return Failure{Status: http.StatusBadRequest, Code: "PriorRequestNotComplete", Message: "The request was rejected because Route 53 was still processing a prior request."}
	case "GetAlias", "UpdateAlias":
		return Failure{Status: http.StatusTooManyRequests, Code: "TooManyRequestsException", Message: "Rate exceeded"}
	}
	return Failure{Status: http.StatusBadRequest, Code: "Throttling", Message: "Rate exceeded"}
}

// Fail makes the next calls of an operation fail, one for each failure given, in their order.
func (s *Server) Fail(operation string, failures ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned[operation] = append(s.planned[operation], failures...)
}

// FailAll makes every call fail until mend is called.
func (s *Server) FailAll(f Failure) (mend func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = &f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = nil
	}
}

// call is one request, as far as all services have it in common.
type call struct {
	operation string
	// run carries it out, under the server's lock.
	run func() reply
}

// reply is what a service says.
type reply struct {
	status int
	kind   string // the Content-Type
	fault  string // Lambda tells the code of an error in a header
	body   string
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client has gone
	}
	c, refuse := s.dispatch(r, body)
	failure := s.note(c.operation)
	if failure != nil {
		switch failure.Kind {
		case Down:
			panic(http.ErrAbortHandler) // closes the connection, and logs nothing
		case Hanging:
			select {
			case <-r.Context().Done():
			case <-s.closed:
			}
			panic(http.ErrAbortHandler)
		case Garbage:
			send(w, reply{kind: "text/html", body: "<html><body>It works!"})
			return
		case Refused:
			status := failure.Status
			if status == 0 {
				status = http.StatusBadRequest
			}
			send(w, refuse(fault{status, failure.Code, failure.Message}))
			return
		case Lost:
		}
	}
	s.mu.Lock()
	answer := c.run()
	s.mu.Unlock()
	if failure != nil {
		panic(http.ErrAbortHandler)
	}
	send(w, answer)
}

// note counts the call, and tells how it fails.
func (s *Server) note(operation string) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	if planned := s.planned[operation]; len(planned) > 0 {
		s.planned[operation] = planned[1:]
		return &planned[0]
	}
	return s.all
}

func send(w http.ResponseWriter, a reply) {
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	if a.fault != "" {
		w.Header().Set("X-Amzn-Errortype", a.fault)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body) // the client may have gone
}

// fault is an error of a service.
type fault struct {
	status        int
	code, message string
}

func invalid(code, format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// dispatch finds whom a request is for, and how that one says no.
func (s *Server) dispatch(r *http.Request, body []byte) (call, func(fault) reply) {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/2013-04-01/"):
		return s.DNS.call(r, body), refuseXML(spaceDNS)
	case strings.HasPrefix(path, "/2015-03-31/"):
		return s.Functions.call(r, body), refuseJSON
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = url.Values{}
	}
	action, version := form.Get("Action"), form.Get("Version")
	space, serve := spaceBeanstalk, s.Beanstalk.serve
	if version == "2015-12-01" {
		space, serve = spaceBalancing, s.Balancing.serve
	}
	refuse := refuseXML(space)
	return call{action, func() reply {
		input, err := parseForm(form)
		if err != nil {
			return refuse(*invalid("MalformedQueryString", "%v", err))
		}
		result, f := serve(action, input)
		if f != nil {
			return refuse(*f)
		}
		result.name = action + "Result"
		return asXML(space, element(action+"Response", result, element("ResponseMetadata", text("RequestId", "0"))))
	}}, refuse
}

func asXML(space string, n *node) reply {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	n.write(&b, space)
	return reply{kind: "text/xml", body: b.String()}
}

func refuseXML(space string) func(fault) reply {
	return func(f fault) reply {
		kind := "Sender"
		if f.status >= http.StatusInternalServerError {
			kind = "Receiver"
		}
		a := asXML(space, element("ErrorResponse",
			element("Error", text("Type", kind), text("Code", f.code), text("Message", f.message)),
			text("RequestId", "0")))
		a.status = f.status
		return a
	}
}

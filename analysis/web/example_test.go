// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/rheostat-go/rheostat/analysis"
	"github.com/rheostat-go/rheostat/analysis/analysistest"
	"github.com/rheostat-go/rheostat/analysis/web"
)

// A service that counts its orders answers with rows of version, placed and lost.
func Example() {
	minute := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		minute++
		fmt.Fprintf(w, `{%q: {"placed": %d, "lost": %d}, %q: {"placed": %d, "lost": %d}}`,
			r.FormValue("stable"), 4320*minute, 4*minute, r.FormValue("candidate"), 480*minute, 25*minute)
	}))
	defer server.Close()

	endpoint, err := web.New(server.URL+"/orders?stable={stable}&candidate={candidate}&from={exposed}", web.Options{
		Header:       http.Header{"Authorization": {"Bearer " + "token"}},
		AllowPrivate: true, // it is in the cluster
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders, err := endpoint.Source(web.Fields{
		Stable:    web.Arm{Requests: "/{stable}/placed", Errors: "/{stable}/lost"},
		Candidate: web.Arm{Requests: "/{candidate}/placed", Errors: "/{candidate}/lost"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	judge, err := analysis.NewCompare(orders, analysis.CompareOptions{Pace: analysis.Pace{Interval: time.Minute}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var state analysis.State // saved with the rollout
	for i := range 4 {
		finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Duration(i)*time.Minute, state))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v after %d requests\n", finding.Verdict, finding.N)
		state = finding.State
	}
	// Output:
	// pending after 0 requests
	// pass after 480 requests
	// fail after 960 requests
	// fail after 960 requests
}

// One number, by a query in the body, with a limit of its own.
func ExampleEndpoint_Value() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"rows": [{"lag": "7.5"}]}`)
	}))
	defer server.Close()

	endpoint, err := web.New(server.URL, web.Options{
		Body:         `{"sql": "SELECT max(lag) FROM replicas WHERE version = :v AND at >= :t", "args": ["{candidate}", {since.unix}]}`,
		AllowPrivate: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lag, err := endpoint.Value("replication lag in seconds", web.Number{Value: "/rows/0/lag"})
	if err != nil {
		fmt.Println(err)
		return
	}
	judge, err := analysis.NewThreshold(lag, analysis.AtMost(5), analysis.ThresholdOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	finding, err := judge.Judge(context.Background(), analysistest.Question(0, time.Minute, ""))
	fmt.Println(finding.Verdict, finding.Reason, err)
	// Output: fail replication lag in seconds of the candidate was 7.5, limit 5 <nil>
}

// A name that leads into the machine's own network is not followed.
func ExampleErrBlocked() {
	endpoint, err := web.New("http://169.254.169.254/latest/meta-data/{service}", web.Options{AllowPrivate: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	secrets, err := endpoint.Source(web.Fields{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _, err = secrets.Counts(context.Background(), analysistest.Question(0, 0, ""))
	fmt.Println(err)
	// Output: web: http://169.254.169.254/latest/meta-data/checkout: dial tcp 169.254.169.254:80: 169.254.169.254: the address is not allowed
}

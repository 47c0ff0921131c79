// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/proxy"
)

func Example() {
	// Two versions of a service.
	arms := map[string][]*url.URL{}
	says := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		u, _ := url.Parse(s.URL)
		arms[name] = []*url.URL{u}
		return s
	}
	defer says("v1").Close()
	defer says("v2").Close()
	p, err := proxy.New(arms, proxy.Options{Default: "v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	front := httptest.NewServer(p) // http.ListenAndServe(":8080", p) in a program
	defer front.Close()

	// v2 gets nothing but the requests of its testers.
	route := traffic.Route{Arms: traffic.Arms{Stable: "v1", Candidate: "v2"}}
	route.Split.Match = []traffic.Match{{Header: "X-Preview", Value: "yes"}}
	if err := p.Apply(context.Background(), 1, route); err != nil {
		fmt.Println(err)
		return
	}
	for _, preview := range []string{"no", "yes"} {
		req, _ := http.NewRequest(http.MethodGet, front.URL, http.NoBody)
		req.Header.Set("X-Preview", preview)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("preview %s: %s\n", preview, body)
	}
	requests, errors, _, _, _ := p.Totals("v2")
	fmt.Println("v2 answered", requests, "with", errors, "errors")
	// Output:
	// preview no: v1
	// preview yes: v2
	// v2 answered 1 with 0 errors
}

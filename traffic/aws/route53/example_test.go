// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package route53_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	r53 "github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/route53"
)

// A tenth of the answers are green's, and a runner that was overtaken is refused.
func Example() {
	server := awstest.New() // stands for AWS; a program has the config of its own account
	defer server.Close()
	server.DNS.AddZone("Z1")
	for arm, weight := range map[string]int{"blue": 1, "green": 0} {
		record := fmt.Sprintf(`<ResourceRecordSet><Name>shop.example.com</Name><Type>A</Type>
			<SetIdentifier>%s</SetIdentifier><Weight>%d</Weight><TTL>60</TTL>
			<ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet>`, arm, weight)
		if err := server.DNS.Put("Z1", record); err != nil {
			fmt.Println(err)
		}
	}

	client := r53.NewFromConfig(server.Config())
	router, err := route53.New(client, route53.Options{Zone: "Z1", Name: "shop.example.com", Lag: 5 * time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}}
	route.Split.Candidate = traffic.Percent(10)
	fmt.Println(router.Apply(ctx, 7, route))
	route.Split.Candidate = 0
	fmt.Println(errors.Is(router.Apply(ctx, 6, route), traffic.ErrFenced))

	seen, err := router.Observe(ctx)
	fmt.Println(seen.Route, seen.Evidence, seen.Fence, err)
	// Output:
	// <nil>
	// true
	// 10% to green, rest to blue programmed 7 <nil>
}

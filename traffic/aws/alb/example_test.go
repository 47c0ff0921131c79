// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package alb_test

import (
	"context"
	"fmt"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/alb"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
)

// A tenth of the requests go to green, of whose four targets three are healthy.
func Example() {
	const rule = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/shop/1/2/3"
	groups := map[string]string{"blue": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/1", "green": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/green/2"}
	server := awstest.New() // stands for AWS; a program has the config of its own account
	defer server.Close()
	server.Balancing.AddGroup(groups["blue"], awstest.Health{Healthy: 4, Total: 4})
	server.Balancing.AddGroup(groups["green"], awstest.Health{Healthy: 3, Total: 4})
	if err := server.Balancing.AddRule(rule, "<member><Type>forward</Type><TargetGroupArn>"+groups["blue"]+"</TargetGroupArn></member>"); err != nil {
		fmt.Println(err)
		return
	}

	router, err := alb.New(elbv2.NewFromConfig(server.Config()), alb.Options{ARN: rule, Groups: groups})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}, Split: traffic.Split{Candidate: traffic.Percent(10)}}
	if err := router.Apply(ctx, 1, route); err != nil {
		fmt.Println(err)
		return
	}
	seen, err := router.Observe(ctx)
	fmt.Println(seen.Route, seen.Evidence, err)
	fmt.Println("green could carry", seen.Room.Candidate)
	// Output:
	// 10% to green, rest to blue written <nil>
	// green could carry 75%
}

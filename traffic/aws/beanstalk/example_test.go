// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package beanstalk_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/beanstalk"
)

// Production goes from blue to green and, because of an issue, back at once.
func Example() {
	server := awstest.New() // stands for AWS; a program has the config of its own account
	defer server.Close()
	server.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "blue", CNAME: "shop-prod"})
	server.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "green"})
	client := elasticbeanstalk.NewFromConfig(server.Config())

	router, err := beanstalk.New(client, beanstalk.Options{Application: "shop", CNAME: "shop-prod", Poll: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "blue", Candidate: "green"}}
	for i, weight := range []traffic.Weight{traffic.Full, traffic.Full, 0} { // twice is once: it is no toggle any more
		route.Split.Candidate = weight
		if err := router.Apply(ctx, uint64(i), route); err != nil {
			fmt.Println(err)
			return
		}
		seen, err := router.Observe(ctx)
		fmt.Println(seen.Route.Serves(), seen.Evidence, err)
	}
	fmt.Println(server.Calls("SwapEnvironmentCNAMEs"), "swaps")
	// Output:
	// green programmed <nil>
	// green programmed <nil>
	// blue programmed <nil>
	// 2 swaps
}

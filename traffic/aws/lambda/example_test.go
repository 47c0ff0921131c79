// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package lambda_test

import (
	"context"
	"fmt"

	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
	"github.com/rheostat-go/rheostat/traffic/aws/lambda"
)

// One call in twenty goes to version 42.
func Example() {
	server := awstest.New() // stands for AWS; a program has the config of its own account
	defer server.Close()
	server.Functions.AddVersion("checkout", "41", awstest.Version{})
	server.Functions.AddVersion("checkout", "42", awstest.Version{})
	server.Functions.AddAlias("checkout", "live", "41", "what the users call")

	client := awslambda.NewFromConfig(server.Config())
	router, err := lambda.New(client, lambda.Options{Function: "checkout", Alias: "live"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	route := traffic.Route{Arms: traffic.Arms{Stable: "41", Candidate: "42"}, Split: traffic.Split{Candidate: traffic.Percent(5)}}
	if err := router.Apply(ctx, 7, route); err != nil {
		fmt.Println(err)
		return
	}
	seen, err := router.Observe(ctx)
	fmt.Println(seen.Route, seen.Evidence, seen.Fence, err)
	fmt.Println(server.Functions.Description("checkout", "live"))
	// Output:
	// 5% to 42, rest to 41 written 7 <nil>
	// what the users call [rheostat fence=7&stable=41&candidate=42&weight=50000]
}

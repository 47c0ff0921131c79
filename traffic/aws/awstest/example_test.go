// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package awstest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/smithy-go"

	"github.com/rheostat-go/rheostat/traffic/aws/awstest"
)

// A swap begins, takes its time, and refuses a second one until it is over.
func Example() {
	server := awstest.New()
	defer server.Close()
	server.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "blue", CNAME: "shop-prod"})
	server.Beanstalk.Add(awstest.Environment{Application: "shop", Name: "green"})
	server.Beanstalk.Slow(-1)

	client := elasticbeanstalk.NewFromConfig(server.Config())
	swap := &elasticbeanstalk.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: aws.String("blue"), DestinationEnvironmentName: aws.String("green"),
	}
	for range 2 {
		_, err := client.SwapEnvironmentCNAMEs(context.Background(), swap)
		if refused, ok := errors.AsType[smithy.APIError](err); ok {
			fmt.Println(refused.ErrorCode())
		}
	}
	server.Beanstalk.Finish()
	fmt.Println(server.Beanstalk.Holder("shop-prod"), server.Calls("SwapEnvironmentCNAMEs"))
	// Output:
	// InvalidParameterValue
	// green 2
}

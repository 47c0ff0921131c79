// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"testing"

	"github.com/rheostat-go/rheostat/traffic/traffictest"
)

func Example() {
	main()
	// Output: <nil> v2 traffic: overtaken by a higher fence
}

func TestConformance(t *testing.T) {
	t.Parallel()
	traffictest.Run(t, func(*testing.T) traffictest.Subject {
		jobs := new(queue)
		return traffictest.Subject{Router: jobs, Send: func(context.Context, traffictest.Request) (traffictest.Answer, error) {
			worker := jobs.next()
			if worker == "" {
				return traffictest.Answer{}, errors.New("no worker for the job")
			}
			return traffictest.Answer{Arm: worker}, nil
		}}
	})
}

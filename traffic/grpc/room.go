// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package grpcsplit

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/rheostat-go/rheostat/traffic"
)

// checkTimeout is how long an arm may take to show that it is there.
const checkTimeout = time.Second

// room is what the arms of the plan could carry.
func (c *Conn) room(ctx context.Context, now *plan) traffic.Room {
	if c.options.Room != nil {
		room, err := c.options.Room(ctx)
		if err != nil {
			return traffic.Room{}
		}
		return room
	}
	if !now.routed() {
		return traffic.Room{}
	}
	room := traffic.Room{Known: true}
	var wg sync.WaitGroup
	wg.Go(func() { room.Stable = check(ctx, now.stable.to.Load()) })
	wg.Go(func() { room.Candidate = check(ctx, now.candidate.to.Load()) })
	wg.Wait()
	if ctx.Err() != nil {
		// A check that was cut short says nothing about the arm.
		return traffic.Room{}
	}
	return room
}

// check is everything for an arm that is connected, or can connect in time.
func check(ctx context.Context, to *grpc.ClientConn) traffic.Weight {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for {
		state := to.GetState()
		switch state {
		case connectivity.Ready:
			return traffic.Full
		case connectivity.TransientFailure, connectivity.Shutdown:
			return 0
		case connectivity.Idle:
			to.Connect()
		case connectivity.Connecting:
		}
		if !to.WaitForStateChange(ctx, state) {
			return 0
		}
	}
}

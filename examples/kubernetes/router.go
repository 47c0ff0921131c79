// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
	"github.com/rheostat-go/rheostat/traffic/kube/contour"
	"github.com/rheostat-go/rheostat/traffic/kube/gateway"
	"github.com/rheostat-go/rheostat/traffic/kube/ingress"
	"github.com/rheostat-go/rheostat/traffic/kube/istio"
	"github.com/rheostat-go/rheostat/traffic/kube/traefik"
)

// router is the one of what -by names. An arm is a Service, and with -by service the label
// "app" of pods.
func (c command) router(ctx context.Context, client dynamic.Interface) (traffic.Router, error) {
	kind, name, _ := strings.Cut(c.by, "/")
	o := kube.Options{Lag: c.lag}
	switch kind {
	case "service":
		return kube.NewService(client, c.namespace, name, kube.ServiceOptions{Options: o, Key: "app"})
	case "ingress":
		return ingress.New(client, c.namespace, name, ingress.Options{Options: o})
	case "gateway":
		return gateway.NewHTTPRoute(client, c.namespace, name, gateway.Options{Options: o})
	case "istio":
		return istio.New(ctx, client, c.namespace, name, istio.Options{Options: o})
	case "traefik":
		return traefik.New(client, c.namespace, name, traefik.Options{Options: o})
	case "contour":
		return contour.New(client, c.namespace, name, contour.Options{Options: o})
	}
	return nil, fmt.Errorf("-by %s: want service, ingress, gateway, istio, traefik or contour, and a name", c.by)
}

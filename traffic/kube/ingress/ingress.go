// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"

	"github.com/rheostat-go/rheostat/traffic"
	"github.com/rheostat-go/rheostat/traffic/kube"
)

const (
	defaultPrefix = "nginx.ingress.kubernetes.io"
	defaultSuffix = "-candidate"
	// perCents is the total that every controller knows.
	perCents = 100
	// lag is the controller's pace of at most one sync in three seconds, its workers'
	// of one in a second, and something to spare for a reload.
	lag = 10 * time.Second
)

var resource = schema.GroupVersionResource{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"}

// Affinity is what becomes of clients that have a session, where the Ingress has
// affinity: cookie. Those with one on the Ingress's own Service stay there in any case.
type Affinity string

// What Options.Affinity can be.
const (
	// Refused is the zero Affinity: no route that moves traffic is accepted.
	Refused Affinity = ""
	// Sticky keeps a client on the arm of the canary Ingress, too, at 0% as well.
	Sticky Affinity = "sticky"
	// Legacy splits anew the requests of those that have no session on the Ingress's
	// own Service.
	Legacy Affinity = "legacy"
)

// Options are what New has a default for.
type Options struct {
	kube.Options

	// Canary is the name of the canary Ingress. "" is that of the Ingress with
	// "-candidate".
	Canary string
	// WeightTotal is how finely the traffic is split: 1000 makes steps of 0.1%. 0 is
	// 100, which every controller knows; others must be more than that, and a divisor
	// of a million.
	WeightTotal int
	// Matches says that routes may have matches, of those that the annotations can say.
	// Caps then say Match, though they can say less than that; package traffictest has
	// cases that such a router must refuse.
	Matches bool
	// Affinity says what is wanted where the Ingress has affinity: cookie.
	Affinity Affinity
	// Prefix is the controller's --annotations-prefix. "" is "nginx.ingress.kubernetes.io".
	Prefix string
}

// New is the router of an Ingress. It asks the API server nothing; an error names the
// argument that cannot be right. It needs get on the Ingress, get, create, patch and, for
// Remove, delete on the canary Ingress, and list on endpointslices.
func New(client dynamic.Interface, namespace, name string, o Options) (*kube.Router, error) {
	if o.Canary == "" {
		o.Canary = name + defaultSuffix
	}
	if o.WeightTotal == 0 {
		o.WeightTotal = perCents
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if err := o.check(name); err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	if o.Lag == 0 {
		o.Lag = lag
	}
	c := codec{
		main:   kube.Object{Resource: resource, Namespace: namespace, Name: name},
		prefix: o.Prefix + "/", total: int64(o.WeightTotal), matches: o.Matches, affinity: o.Affinity,
	}
	r, err := kube.New(client, kube.Object{Resource: resource, Namespace: namespace, Name: o.Canary}, c, o.Options)
	if err != nil {
		return nil, fmt.Errorf("ingress: %w", err)
	}
	return r, nil
}

func (o Options) check(name string) error {
	switch {
	case name == "":
		return errors.New("name: it is empty")
	case o.Canary == name:
		return fmt.Errorf("options.canary: %q is the Ingress itself", o.Canary)
	case o.WeightTotal < perCents || o.WeightTotal > math.MaxInt32 || int(traffic.Full)%o.WeightTotal != 0:
		return fmt.Errorf("options.weight_total: %d: want 100 or more, and a divisor of a million; the controller ignores what is less", o.WeightTotal)
	case o.Affinity != Refused && o.Affinity != Sticky && o.Affinity != Legacy:
		return fmt.Errorf("options.affinity: %q: want %q or %q", o.Affinity, Sticky, Legacy)
	}
	if wrong := validation.IsDNS1123Subdomain(o.Canary); len(wrong) > 0 {
		return fmt.Errorf("options.canary: %q: %s", o.Canary, wrong[0])
	}
	if wrong := validation.IsDNS1123Subdomain(strings.ToLower(o.Prefix)); len(wrong) > 0 {
		return fmt.Errorf("options.prefix: %q: %s", o.Prefix, wrong[0])
	}
	return nil
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// ErrBlocked is wrapped by the error of a request whose host has an address that is
// not to be connected to. See [Options.AllowPrivate].
var ErrBlocked = errors.New("the address is not allowed")

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, p := range list {
		all[i] = netip.MustParsePrefix(p)
	}
	return all
}

var (
	// never are the networks with no endpoint in them, and the single addresses at
	// which clouds hand out credentials to whoever asks from the machine.
	never = prefixes(
		"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/128", "fe80::/10", "ff00::/8",
		"100.100.100.200/32", // Alibaba
		"168.63.129.16/32",   // Azure's wire server, a public address
		"192.0.0.192/32",     // Oracle
		"fd00:ec2::254/128",  // Amazon
		"fd20:ce::254/128",   // Google
		"fd00:42::42/128",    // Scaleway
	)
	// special are the rest of IANA's registries of special addresses, as far as they
	// lie within what is global otherwise.
	special = prefixes(
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "3fff::/20",
	)
	global     = prefixes("0.0.0.0/0", "2000::/3", "64:ff9b::/96")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	compatible = netip.MustParsePrefix("::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// blocked is why ip is not to be connected to, nil where it may.
func blocked(ip netip.Addr, allowPrivate bool) error {
	ip = ip.WithZone("").Unmap()
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	switch {
	case !ip.IsValid() || in(never):
		return fmt.Errorf("%v: %w", ip, ErrBlocked)
	case !allowPrivate && (in(special) || !in(global)):
		return fmt.Errorf("%v is private: %w without AllowPrivate", ip, ErrBlocked)
	}
	if inner, ok := embedded(ip); ok {
		return blocked(inner, allowPrivate)
	}
	return nil
}

// embedded is the IPv4 address that packets to ip end at.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	b := ip.As16()
	switch {
	case !ip.Is6() || ip.IsLoopback():
		return netip.Addr{}, false
	case nat64.Contains(ip), compatible.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:])), true
	case teredo.Contains(ip):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

// guard is a net.Dialer's ControlContext: it sees the address that a name was
// looked up to, right before it is connected to.
func guard(allowPrivate bool) func(ctx context.Context, network, address string, _ syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" {
			return fmt.Errorf("%s: %w", network, ErrBlocked)
		}
		return blocked(to.Addr(), allowPrivate)
	}
}

func dialer(allowPrivate bool) *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: guard(allowPrivate)}
}

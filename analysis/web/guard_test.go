// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/rheostat-go/rheostat/analysis"
)

func TestAnAddressIsLookedAtBeforeItIsConnectedTo(t *testing.T) {
	t.Parallel()
	const public, private, never = 0, 1, 2
	for ip, want := range map[string]int{
		"8.8.8.8": public, "192.0.32.8": public, "172.32.0.1": public, "100.128.0.1": public, "11.0.0.1": public,
		"2606:4700::1111": public, "::ffff:8.8.8.8": public, "64:ff9b::8.8.8.8": public, "2002:808:808::1": public,

		"127.0.0.1": private, "127.9.9.9": private, "10.1.2.3": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private,
		"100.64.0.1": private, "198.18.0.1": private, "192.0.2.1": private, "240.0.0.1": private, "::1": private, "fd12::1": private, "fc00::1": private,
		"fec0::1": private, "::ffff:10.0.0.1": private, "64:ff9b::10.0.0.1": private, "64:ff9b:1::1": private, "2002:a00:1::1": private, "::10.0.0.1": private,
		"2001:db8::1": private, "3fff::1": private, "100::1": private, "::ffff:0:8.8.8.8": private, "4000::1": private, "fd00:ec2::253": private,

		"169.254.169.254": never, "169.254.0.1": never, "0.0.0.0": never, "0.1.2.3": never, "::": never, "224.0.0.1": never, "239.1.1.1": never,
		"255.255.255.255": never, "ff02::1": never, "fe80::1": never, "fe80::1%eth0": never, "fd00:ec2::254": never, "fd20:ce::254": never,
		"100.100.100.200": never, "168.63.129.16": never, "192.0.0.192": never, "::ffff:169.254.169.254": never, "64:ff9b::a9fe:a9fe": never,
		"2002:a9fe:a9fe::": never, "::169.254.169.254": never, "2001:0:1:2:3:4:5601:5601": never,
	} {
		addr := netip.MustParseAddr(ip)
		if err := blocked(addr, false); (err == nil) != (want == public) || err != nil && !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v", ip, err)
		}
		if err := blocked(addr, true); (err == nil) != (want != never) {
			t.Errorf("%s where private ones are allowed: %v", ip, err)
		}
		to := net.JoinHostPort(ip, "80")
		if err := guard(false)(t.Context(), "tcp4", to, nil); (err == nil) != (want == public) {
			t.Errorf("dial %s: %v", to, err)
		}
	}
	if blocked(netip.Addr{}, true) == nil || guard(true)(t.Context(), "unix", "/run/docker.sock", nil) == nil || guard(true)(t.Context(), "udp4", "8.8.8.8:53", nil) == nil {
		t.Error("what is no TCP address was allowed")
	}
}

// TestANameIsJudgedByWhatItIsLookedUpTo has a public name for a private address.
func TestANameIsJudgedByWhatItIsLookedUpTo(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "0x7f.1"} {
		e, err := New("http://"+host+":"+port+"/", Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.ask(t.Context(), analysis.Check{})
		var lookup *net.DNSError
		if !errors.Is(err, ErrBlocked) && !errors.As(err, &lookup) || host != "0x7f.1" && lookup != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	t.Parallel()
	e, err := New("http://stats.example.com/", Options{})
	if err != nil {
		t.Fatal(err)
	}
	transport, ok := e.client.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("the transport asks somebody for a proxy")
	}
}

func FuzzAPointerFindsWhatItWasMadeFor(f *testing.F) {
	f.Add("a", "b", 0)
	f.Add("a/b", "m~n", 3)
	f.Add("", "~1", 12)
	f.Add("-", "01", -1)
	f.Fuzz(func(t *testing.T, outer, inner string, i int) {
		i = max(i, 0) % 20
		list := make([]any, i+1)
		list[i] = map[string]any{inner: 7}
		body, err := json.Marshal(map[string]any{outer: list})
		if err != nil {
			t.Fatal(err)
		}
		document, err := decode(body)
		if err != nil {
			t.Fatal(err)
		}
		// What is no UTF-8 is another name in JSON.
		valid := func(s string) string { return string([]rune(s)) }
		p, err := parsePointer("/" + token(valid(outer)) + "/" + strconv.Itoa(i) + "/" + token(valid(inner)))
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.in(document)
		if n, bad := count(v); err != nil || bad != nil || n != 7 {
			t.Fatalf("%q in %s: %v, %v", p, body, v, err)
		}
		for _, wrong := range []string{"0" + strconv.Itoa(i), strconv.Itoa(i + 1), "-", "-1", "+" + strconv.Itoa(i), ""} {
			if v, err := (pointer{valid(outer), wrong, valid(inner)}).in(document); err == nil {
				t.Fatalf("position %q of %d: %v", wrong, i+1, v)
			}
		}
	})
}

func FuzzAnAnswerIsReadOrRefused(f *testing.F) {
	for _, s := range []string{`{"a": 1}`, `[1e400, "x"]`, `"18446744073709551616"`, `-0`, `1.0`, `{"a": 1}{`, `[[[[`, `"2026-01-02T03:04:05Z"`} {
		f.Add([]byte(s), "/a")
	}
	f.Fuzz(func(t *testing.T, body []byte, text string) {
		document, err := decode(body)
		if err != nil {
			if json.Valid(body) {
				t.Fatalf("%q is JSON: %v", body, err)
			}
			return
		}
		p, err := parsePointer(text)
		if err != nil {
			return
		}
		v, err := p.in(document)
		if err != nil {
			return
		}
		if n, err := count(v); err == nil {
			if x, err := number(v); err != nil || uint64(x) != n && n < exact {
				t.Fatalf("%v is the count %d and the number %v, %v", v, n, x, err)
			}
		}
		if at, err := instant(v); err == nil {
			if _, err := json.Marshal(at); err != nil {
				t.Fatalf("%v is a moment that cannot be saved: %v", v, err)
			}
		}
	})
}

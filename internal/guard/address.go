// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// Addresses inside of a machine or a network.
var (
	local4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
	}
	local6 = []netip.Prefix{
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("fc00::/7"),
	}
	// cloud is where one cloud keeps its metadata service inside of fc00::/7.
	cloud = netip.MustParsePrefix("fd00:ec2::/32")

	all4 = netip.MustParsePrefix("0.0.0.0/0")
	all6 = netip.MustParsePrefix("::/0")
)

// guardian judges addresses for https.
func (c Config) guardian() *ssrf.Guardian {
	if c.AllowPrivate {
		return ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(local4...), ssrf.WithAllowedV6Prefixes(local6...))
	}
	var own4, own6 []netip.Prefix
	for _, p := range c.Own {
		if p.Addr().Is4() {
			own4 = append(own4, p)
		} else {
			own6 = append(own6, p)
		}
	}
	return ssrf.New(ssrf.WithPorts(c.Ports...), ssrf.WithDeniedV4Prefixes(own4...), ssrf.WithDeniedV6Prefixes(own6...))
}

// localOnly judges addresses for plain http.
func localOnly() *ssrf.Guardian {
	return ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(local4...), ssrf.WithDeniedV4Prefixes(all4),
		ssrf.WithAllowedV6Prefixes(local6...), ssrf.WithDeniedV6Prefixes(all6),
	)
}

// control is called for each address just before it is dialled.
func control(g *ssrf.Guardian) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, c syscall.RawConn) error {
		if err := g.Safe(network, address, c); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if a, err := netip.ParseAddrPort(address); err != nil || cloud.Contains(a.Addr()) {
			return fmt.Errorf("%w: %s", ErrRefused, address)
		}
		return nil
	}
}

// OwnAddresses lists the addresses of this machine's interfaces. A site on
// the same machine as its broker needs another address, or AllowPrivate.
func OwnAddresses() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	var own []netip.Prefix
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok {
			ip = ip.Unmap()
			own = append(own, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return own, nil
}

// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"errors"
	"fmt"
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

var errAddress = errors.New("address refused")

// addressPolicy says which addresses are dialled, since it is others that
// choose them (fault 60): TCP and QUIC, to public IP addresses or to names.
type addressPolicy struct {
	allowPrivate bool // loopback and private addresses too
}

// dials returns nil when a may be dialled. A name may stand for any address;
// what it is looked up to is judged again.
func (p addressPolicy) dials(a ma.Multiaddr) error {
	first, rest := ma.SplitFirst(a)
	if first == nil || !usable(rest) {
		return fmt.Errorf("%w: %s is neither TCP nor QUIC", errAddress, a)
	}
	switch first.Protocol().Code {
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return nil
	case ma.P_IP4, ma.P_IP6:
		ip, ok := netip.AddrFromSlice(first.RawValue())
		if ok && p.reaches(ip.Unmap(), a) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is not a public address", errAddress, a)
}

// reaches: where clouds keep their secrets, link-local addresses and one more
// prefix, is out in any case, and so is multicast.
func (p addressPolicy) reaches(ip netip.Addr, a ma.Multiaddr) bool {
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.Zone() != "" || cloud.Contains(ip) {
		return false
	}
	return manet.IsPublicAddr(a) || p.allowPrivate && (ip.IsLoopback() || ip.IsPrivate())
}

// usable says whether the part behind the host is TCP or QUIC and no more.
func usable(rest ma.Multiaddr) bool {
	var codes []int
	for _, c := range rest {
		codes = append(codes, c.Protocol().Code)
	}
	switch len(codes) {
	case 1:
		return codes[0] == ma.P_TCP
	case 2:
		return codes[0] == ma.P_UDP && codes[1] == ma.P_QUIC_V1
	}
	return false
}

// covers says whether a is the known address, or what its name was looked up to.
func covers(known, a ma.Multiaddr) bool {
	if known.Equal(a) {
		return true
	}
	name, port := ma.SplitFirst(known)
	_, at := ma.SplitFirst(a)
	switch name.Protocol().Code {
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6:
		return port.Equal(at)
	}
	return false
}

// cloud is where one cloud keeps its metadata service inside of fc00::/7.
var cloud = netip.MustParsePrefix("fd00:ec2::/32")

// loopback is exempt from limits by address.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

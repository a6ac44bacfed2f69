// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/comity-network/comity/federation"
)

// fault 60: addresses of others are dialled only where a member of a public
// federation can be.
func TestFault60Addresses(t *testing.T) {
	tests := []struct {
		address         string
		public, private bool // dialled by a public node, by one with AllowPrivate
	}{
		{"/ip4/8.8.8.8/tcp/4001", true, true},
		{"/ip4/8.8.8.8/udp/4001/quic-v1", true, true},
		{"/ip6/2001:4860:4860::8888/tcp/4001", true, true},
		{"/dns4/broker.example/tcp/4001", true, true},
		{"/dns/broker.example/udp/4001/quic-v1", true, true},
		{"/ip4/127.0.0.1/tcp/4001", false, true},
		{"/ip4/10.1.2.3/udp/4001/quic-v1", false, true},
		{"/ip4/192.168.1.1/tcp/80", false, true},
		{"/ip6/::1/tcp/4001", false, true},
		{"/ip6/fd00::1/tcp/4001", false, true},
		{"/ip6/::ffff:127.0.0.1/tcp/4001", false, true},
		{"/ip6/fd00:ec2::254/tcp/80", false, false},
		{"/ip4/169.254.169.254/tcp/80", false, false},
		{"/ip6/fe80::1/tcp/4001", false, false},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/4001", false, false},
		{"/ip4/0.0.0.0/tcp/4001", false, false},
		{"/ip6/::/tcp/4001", false, false},
		{"/ip4/224.0.0.1/udp/4001/quic-v1", false, false},
		{"/ip4/255.255.255.255/udp/4001/quic-v1", false, false},
		{"/ip4/0.1.2.3/tcp/4001", false, false},
		{"/ip4/100.64.0.1/tcp/4001", false, false},
		{"/ip4/8.8.8.8/udp/53", false, false},
		{"/ip4/8.8.8.8/tcp/443/ws", false, false},
		{"/ip4/8.8.8.8/tcp/443/tls/ws", false, false},
		{"/ip4/8.8.8.8", false, false},
		{"/unix/run/docker.sock", false, false},
		{"/ip4/8.8.8.8/tcp/4001/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5/p2p-circuit", false, false},
		{"/dnsaddr/bootstrap.example", false, false},
	}
	for _, test := range tests {
		a, err := ma.NewMultiaddr(test.address)
		if err != nil {
			t.Fatal(err)
		}
		for _, allow := range []bool{false, true} {
			want := allow && test.private || !allow && test.public
			if err := federation.Dials(allow, a); (err == nil) != want {
				t.Errorf("%s with private addresses allowed %v: %v", test.address, allow, err)
			}
		}
	}
}

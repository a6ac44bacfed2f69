// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/durable"
)

// publicP2P is where a broker with a public issuer listens for the others. The
// port is the one that libp2p programs use.
var publicP2P = []string{"/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"}

// portFile keeps the port that a broker on loopback has chosen, so that its
// addresses survive a restart.
const portFile = "p2p-port"

// openNetwork opens the peer-to-peer host. It dials nobody before Run.
func (n *Node) openNetwork(ctx context.Context) error {
	listen, err := n.listenP2P()
	if err != nil {
		return err
	}
	n.network, err = federation.NewNetwork(ctx, federation.NetworkConfig{
		Replica: n.replica, Key: n.keys.peer, Listen: listen, Announce: n.cfg.P2PAnnounce,
		HTTP: n.peers, Datastore: n.store.Datastore(), Now: n.cfg.Now, Log: n.log, AllowPrivate: n.cfg.reachesPrivate(),
	})
	if err != nil {
		return fmt.Errorf("%w; --p2p says where to listen, --p2p-announce what others are told", err)
	}
	return nil
}

// listenP2P says where to listen for other members.
func (n *Node) listenP2P() ([]string, error) {
	switch {
	case len(n.cfg.P2P) > 0:
		return n.cfg.P2P, nil
	case !n.cfg.local():
		return publicP2P, nil
	}
	port, err := n.stablePort(filepath.Join(n.cfg.DataDir, portFile))
	return []string{
		fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port),
		fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port),
	}, err
}

// stablePort reads the port in the file. Where there is none yet, or another
// program has the port by now, it chooses one that is free and writes it there;
// the other members learn it from the broker record.
func (n *Node) stablePort(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if err == nil {
		port, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 16)
		if err != nil || port == 0 {
			return 0, fmt.Errorf("%s holds no port number: delete it, and another port is chosen", path)
		}
		if _, err = freePort(int(port)); err == nil {
			return int(port), nil
		}
		n.log.Warn("the port for the other members is taken; another one is chosen", "error", err)
	}
	for range 20 {
		var port int
		if port, err = freePort(0); err == nil {
			return port, durable.WriteFile(path, fmt.Appendf(nil, "%d\n", port), 0o600)
		}
	}
	return 0, err
}

// freePort makes sure that nobody uses a loopback port, for TCP or UDP; 0: any.
// The host itself would share a port with another one.
func freePort(port int) (int, error) {
	t, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	defer t.Close()
	u, err := net.ListenPacket("udp", t.Addr().String())
	if err != nil {
		return 0, err
	}
	return t.Addr().(*net.TCPAddr).Port, u.Close()
}

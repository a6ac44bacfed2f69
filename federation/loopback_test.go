// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/guard"
)

// website is the HTTP side of a broker, as far as other brokers ask it where
// its peers are.
type website struct {
	*httptest.Server
	mu    sync.Mutex
	node  *clusterNode
	asked atomic.Int64
}

func newWebsite(t testing.TB) *website {
	w := new(website)
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *website) serves(n *clusterNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.node = n
}

func (w *website) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.node == nil {
		http.Error(rw, "down", http.StatusServiceUnavailable)
		return
	}
	record, err := w.node.BrokerRecord(r.Context(), path.Base(r.URL.Path))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	_, _ = rw.Write([]byte(record.Raw))
}

// onLoopback makes a cluster of real hosts, TCP and QUIC, with a website each.
func onLoopback(t testing.TB, n int) (*cluster, []*website) {
	var sites []*website
	var issuers []string
	for range n {
		w := newWebsite(t)
		sites, issuers = append(sites, w), append(issuers, w.URL)
	}
	c := newClusterOf(t, time.Now, issuers...)
	client := guard.New(guard.Config{AllowPrivate: true})
	t.Cleanup(client.CloseIdleConnections)
	c.configure = func(_ *clusterNode, config *federation.NetworkConfig) {
		config.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
		config.AllowPrivate = true
		config.HTTP = client
	}
	for i, w := range sites {
		w.serves(c.nodes[i])
	}
	t.Cleanup(c.close)
	return c, sites
}

// Members that know of each other from the charter alone ask the issuers for
// the rest; after that they find each other at any new address.
func TestLoopback(t *testing.T) {
	c, _ := onLoopback(t, 3)
	for _, n := range c.nodes {
		n.listen()
		n.run()
	}
	took := c.until(5*time.Second, "all are connected", func() bool { return meshed(c.nodes) })
	t.Logf("connected after %v", took)
}

// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"testing"
	"time"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// In a federation of two one view is a quorum, so the broker's own is enough.
// All the same one that was down asks the other before it mints, where there is
// one; and where there is none it goes on soon.
func TestRestartedOfTwo(t *testing.T) {
	t.Parallel()
	all := found(t, 2, 0)
	a, b := all[0], all[1]
	for range 3 {
		app := a.register(someApp)
		b.seesApp(app.ClientID, "active")
		b.stop()
		stop := admin.Stop{ClientID: app.ClientID, Action: registry.Revoke, Reason: "malicious"}
		check(t, a.node.StopApp(t.Context(), stop, func(admin.StopProgress) {}))
		b.start()
		until(t, "the restarted broker is fresh", func() bool {
			fresh := b.status().Fresh
			if known, err := b.app(app.ClientID); fresh && (err != nil || known.State != "revoked") {
				t.Fatalf("it is fresh and the client is %s, %v", known.State, err)
			}
			return fresh
		})
	}
	a.stop()
	b.stop()
	b.start()
	began := time.Now()
	until(t, "it is fresh, alone", func() bool { return b.status().Fresh })
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("it is fresh after %v", took)
	}
}

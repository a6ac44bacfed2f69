// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/comity-network/comity/site/protocol"
	"github.com/comity-network/comity/testnet/app"
	"github.com/comity-network/comity/testnet/site"
)

// TestManyAtOnce: codes that are redeemed at the same time are told to the site in
// batches, and each token is good there.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.site("notebook", nil)
	a := w.register("Busy", "none")
	target := w.discover(a, s.API)
	requests := make([]*app.Request, 40)
	codes := make([]string, len(requests))
	for i := range requests {
		requests[i] = a.NewRequest(target, site.ReadNotes, false)
		codes[i] = w.authorize(a, target, requests[i])
	}
	all := make([]*app.Tokens, len(requests))
	var redeeming sync.WaitGroup
	for i := range requests {
		redeeming.Go(func() {
			var err error
			if all[i], err = a.Redeem(w.ctx, target, requests[i], codes[i]); err != nil {
				t.Error(err)
			}
		})
	}
	redeeming.Wait()
	if t.Failed() {
		return
	}
	for _, tokens := range all {
		w.call(a, target, tokens, http.StatusOK)
	}
	told, batches := 0, 0
	for _, p := range s.Pushes.All() {
		if site.Accepted(protocol.EventTokenIssued)(p) {
			told++
		}
		if site.Accepted(site.Batch)(p) {
			batches++
		}
	}
	if batches == 0 || told+2*batches > len(all) {
		t.Errorf("%d events alone and %d batches, of %d", told, batches, len(all))
	}
}

// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/comity-network/comity/federation"
)

// A peer that offends is dropped after twenty offences and refused for a
// minute, then for two; one that errs now and then is not.
func TestOffences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		o := federation.NewOffences(func(peer.ID, string) { dropped++ })
		for range 100 {
			o.Charge("clumsy", 1)
			time.Sleep(time.Second)
		}
		if dropped != 0 || o.Banned("clumsy") {
			t.Error("one offence a second is too much")
		}
		for ban := time.Minute; ban <= 10*time.Minute; ban *= 2 {
			dropped = 0
			for i := range 21 {
				if dropped != 0 || o.Banned("evil") {
					t.Fatalf("dropped after %d offences", i)
				}
				o.Charge("evil", 1)
			}
			o.Charge("evil", 1) // those on their way
			if dropped != 1 || !o.Banned("evil") {
				t.Fatalf("dropped %d times after 22 offences", dropped)
			}
			time.Sleep(ban - time.Second)
			if !o.Banned("evil") {
				t.Errorf("forgiven before %v", ban)
			}
			time.Sleep(2 * time.Second)
			if o.Banned("evil") {
				t.Errorf("still banned after %v", ban)
			}
		}
		if o.Banned("other") {
			t.Error("a peer is banned for what another did")
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"fmt"
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
			for range 50 {
				o.Charge("evil", 1) // those on their way
			}
			if dropped != 1 || !o.Banned("evil") {
				t.Fatalf("dropped %d times", dropped)
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
		time.Sleep(21 * time.Minute)
		for range 21 {
			o.Charge("evil", 1)
		}
		if time.Sleep(time.Minute + time.Second); o.Banned("evil") {
			t.Error("after twenty good minutes the ban is longer than the first one")
		}
		for i := range 5000 {
			o.Charge(peer.ID(fmt.Sprint(i)), 1)
		}
		time.Sleep(21 * time.Minute)
		if o.Charge("evil", 1); o.Len() > 1 {
			t.Errorf("%d peers are remembered for ever", o.Len())
		}
		if o.Banned("other") {
			t.Error("a peer is banned for what another did")
		}
	})
}

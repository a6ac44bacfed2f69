// SPDX-License-Identifier: Apache-2.0

package federation_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// fault 55, the half that is a replica's: whatever happened on whichever side,
// and in whatever order, pieces and repetitions it then arrives, all come to the
// same stop list, and nobody who was stopped is back.
func TestFault55AnyOrder(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &anyOrder{several: newSeveral(t, 4), rand: rand.New(rand.NewPCG(seed, 55)), revoked: map[string]bool{}}
			for range 60 {
				w.act()
				if w.rand.IntN(3) == 0 {
					w.carry()
				}
				if w.rand.IntN(20) == 0 {
					w.any().open()
				}
			}
			for range 60 {
				w.carry()
			}
			w.meet()
			w.agree()
			for _, m := range w.members {
				for id := range w.revoked {
					if got := m.status(id); got != registry.ClientRevoked {
						t.Errorf("%s has %s as %s", m.issuer, id, got)
					}
				}
				m.open()
			}
			w.agree()
			for i, m := range w.members {
				if got, want := fmt.Sprint(m.Vector()), fmt.Sprint(w.members[0].Vector()); got != want {
					t.Errorf("vector of member %d:\n%s\n%s", i, got, want)
				}
			}
		})
	}
}

type anyOrder struct {
	*several
	rand    *rand.Rand
	ids     []string
	revoked map[string]bool
}

func (w *anyOrder) any() *member { return w.members[w.rand.IntN(len(w.members))] }

// act lets one member do something that it may do by what it knows.
func (w *anyOrder) act() {
	w.now = w.now.Add(time.Duration(w.rand.IntN(3)) * time.Second)
	m := w.any()
	if len(w.ids) == 0 || w.rand.IntN(4) == 0 {
		w.ids = append(w.ids, m.register(1)...)
		return
	}
	id := w.ids[w.rand.IntN(len(w.ids))]
	draft := update(id)
	if w.rand.IntN(4) > 0 {
		draft = revocation(id, []registry.Action{registry.Suspend, registry.Reinstate, registry.Revoke}[w.rand.IntN(3)])
	}
	state, err := m.Client(w.t.Context(), id)
	_, _, failed := m.Append(w.t.Context(), draft)
	if err == nil && failed == nil && state.Home == m.issuer && draft.Revocation != nil && draft.Revocation.Action == registry.Revoke {
		w.revoked[id] = true
	}
}

// carry brings something from one member to another: a piece of a log, what is
// in no log, or an old message once more.
func (w *anyOrder) carry() {
	from, to := w.any(), w.any()
	switch w.rand.IntN(4) {
	case 0:
		to.take(from)
	case 1:
		if len(from.news) > 0 {
			w.hand(to, from.news[w.rand.IntN(len(from.news))].Inbound)
		}
	default:
		for log, h := range from.Vector().Logs {
			at := w.rand.Int64N(h.Size + 1)
			if wants := to.wants(from, log); wants >= 0 && w.rand.IntN(2) == 0 {
				at = wants
			}
			w.hand(to, federation.Inbound{Suffix: from.since(log, at, w.rand.IntN(4000))})
		}
	}
}

func (w *anyOrder) hand(to *member, in federation.Inbound) {
	_, err := to.Accept(w.t.Context(), in)
	if err != nil && !errors.Is(err, registry.ErrStale) {
		w.t.Fatalf("%+v: %v", in, err)
	}
}

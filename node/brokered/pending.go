// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"sync/atomic"
)

// pending holds the exchanges that wait for a site's confirm, by the hash of
// their verifier. Each is claimed once, or ends unclaimed.
type pending struct {
	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*waiting // guarded by mu
}

// waiting is one exchange.
type waiting struct {
	ctx     context.Context // of the client, or of the member that asked
	call    call
	claimed atomic.Bool
	outcome chan outcome // takes one
}

// outcome is what became of a confirm: credentials that the site has stored,
// or why it was not.
type outcome struct {
	credentials credentials
	err         error
}

// open makes a verifier and waits with it, until close.
func (p *pending) open(ctx context.Context, c call) (verifier string, w *waiting, end func()) {
	random := make([]byte, verifierBytes)
	rand.Read(random) // never fails
	verifier = hex.EncodeToString(random)
	w = &waiting{ctx: ctx, call: c, outcome: make(chan outcome, 1)}
	hash := sha256.Sum256([]byte(verifier))
	p.mu.Lock()
	p.byHash[hash] = w
	p.mu.Unlock()
	return verifier, w, func() {
		p.mu.Lock()
		delete(p.byHash, hash)
		p.mu.Unlock()
	}
}

// claim takes the exchange with that verifier, whose claimer then gives it an
// outcome. Nil: there is none, or nobody waits for it any more.
func (p *pending) claim(verifier string) *waiting {
	hash := sha256.Sum256([]byte(verifier))
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.byHash[hash]
	if !ok || w.ctx.Err() != nil {
		return nil
	}
	delete(p.byHash, hash)
	w.claimed.Store(true)
	return w
}

func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byHash)
}

// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"

	"github.com/comity-network/comity/registry"
)

// checked remembers which entries of others' logs have a good signature: one
// bit an entry, since there may be a million, and verifying one takes longer
// than all else that a lookup does.
type checked struct {
	mu   sync.Mutex
	logs map[string][]uint64
}

func (c *checked) has(log string, index int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	bits := c.logs[log]
	return index/64 < int64(len(bits)) && bits[index/64]>>(index%64)&1 == 1
}

func (c *checked) add(log string, index int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logs == nil {
		c.logs = make(map[string][]uint64)
	}
	bits := c.logs[log]
	if missing := index/64 + 1 - int64(len(bits)); missing > 0 {
		bits = append(bits, make([]uint64, missing)...)
	}
	bits[index/64] |= 1 << (index % 64)
	c.logs[log] = bits
}

// clear forgets everything.
func (c *checked) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.logs)
}

// genuine reports whether an entry under a head has a good signature. Stops and
// broker records were verified before they were stored; registrations, of which
// there may be a million, are verified here when they are first used. A bad one
// is void, although its author signed a head over it.
func (r *Replica) genuine(chain *registry.Chain, log string, e registry.Entry) bool {
	registration := e.Record.Registration
	if log == r.log || e.Index < 0 || registration == nil || registration.Compromised || r.checked.has(log, e.Index) {
		return true
	}
	if !r.verifies(chain, e) {
		return false
	}
	r.checked.add(log, e.Index)
	return true
}

// verifies checks the signature of a registration in a log.
func (r *Replica) verifies(chain *registry.Chain, e registry.Entry) bool {
	key, ok := chain.KeyAt(e.Record.Issuer, e.Index)
	if !ok {
		return false
	}
	if err := e.Record.Verify(key); err != nil {
		r.logger.Warn("a log has a registration with a bad signature, which does not count",
			"issuer", e.Record.Issuer, "index", e.Index, "error", err)
		return false
	}
	return true
}

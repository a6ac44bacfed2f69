// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"container/list"

	"github.com/comity-network/comity/registry"
)

// lru keeps the last states asked for. Its user locks.
type lru struct {
	size  int
	order *list.List // of registry.ClientState, the newest in front
	byID  map[string]*list.Element
}

func newLRU(size int) *lru {
	return &lru{size: size, order: list.New(), byID: make(map[string]*list.Element)}
}

func (c *lru) lookup(id string) (registry.ClientState, bool) {
	e, ok := c.byID[id]
	if !ok {
		return registry.ClientState{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(registry.ClientState), true
}

func (c *lru) put(s registry.ClientState) {
	c.remove(s.ID)
	c.byID[s.ID] = c.order.PushFront(s)
	if c.order.Len() > c.size {
		c.remove(c.order.Back().Value.(registry.ClientState).ID)
	}
}

func (c *lru) remove(id string) {
	if e, ok := c.byID[id]; ok {
		c.order.Remove(e)
		delete(c.byID, id)
	}
}

func (c *lru) clear() {
	c.order.Init()
	clear(c.byID)
}

// SPDX-License-Identifier: Apache-2.0

package federation

import (
	"sync"
	"time"

	"github.com/comity-network/comity/registry"
)

// maxNews bounds what waits to be published. Beyond it, heads tell.
const maxNews = 4096

// registrationsPerSecond go by gossip, those beyond are pulled. Stops are never
// held back.
const registrationsPerSecond = 20

// newsQueue takes the news of the replica, which must not be made to wait.
type newsQueue struct {
	kick chan struct{}

	mu   sync.Mutex
	news []News
}

func newNewsQueue() *newsQueue { return &newsQueue{kick: make(chan struct{}, 1)} }

func (q *newsQueue) add(n News) {
	q.mu.Lock()
	if len(q.news) < maxNews {
		q.news = append(q.news, n)
	}
	q.mu.Unlock()
	wake(q.kick)
}

func (q *newsQueue) take() []News {
	q.mu.Lock()
	defer q.mu.Unlock()
	news := q.news
	q.news = nil
	return news
}

// publish sends to everybody what this broker signed, and what everybody should
// have and nobody but this node may have: evidence that was put together here,
// and charters that came by other ways.
func (n *Network) publish(news []News) {
	for _, item := range news {
		in := item.Inbound
		switch {
		case in.Suffix != nil && item.Own:
			n.publishOwn(in)
		case in.View != "" && item.Own, in.Charter != nil, in.Evidence != nil:
			n.send(in)
		}
	}
}

// publishOwn holds registrations back when there are many: what gossip does not
// bring is pulled in one go. A stop is always sent, alone if need be.
func (n *Network) publishOwn(in Inbound) {
	if n.records.AllowN(time.Now(), len(in.Suffix.Raws)) {
		n.send(in)
		return
	}
	for _, raw := range in.Suffix.Raws {
		if record, err := registry.ParseRecord([]byte(raw)); err == nil && record.Revocation != nil {
			n.send(Inbound{Heard: raw})
		}
	}
}

// send publishes one message. What is too long for gossip is told by heads; what
// came by gossip pubsub does not send again, since messages are named by what they
// say.
func (n *Network) send(in Inbound) {
	if n.presence.topic == nil {
		return
	}
	doc, err := encodeMessage(in)
	if err != nil || len(doc) > maxGossip-4096 {
		return
	}
	if err := n.presence.topic.Publish(n.ctx, doc); err != nil && n.ctx.Err() == nil {
		n.log.Warn("cannot publish", "error", err)
	}
}

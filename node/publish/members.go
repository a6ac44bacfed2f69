// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// Member is one broker of the federation as this node sees it.
type Member struct {
	Issuer       string `json:"issuer"`
	Organisation string `json:"organisation,omitempty"`
	State        string `json:"state"`
	Key          string `json:"key"` // thumbprint of its record key
	Head         Head   `json:"head"`
	ViewAge      *int64 `json:"view_age"` // seconds; null: no view seen
}

// Head is the newest verified state of a log.
type Head struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // base64, as in a checkpoint
}

// Members lists the members of the federation with what the replica knows of
// each at the time now.
func Members(ctx context.Context, replica *federation.Replica, now time.Time) []Member {
	views := map[string]*registry.Record{}
	for _, view := range replica.Views() {
		views[view.KeyID] = view
	}
	chain, heads := replica.Chain(), replica.Vector().Logs
	var all []Member
	for _, m := range chain.Latest().Members {
		key := currentKey(m)
		member := Member{Issuer: m.Issuer, State: string(replica.BrokerStatus(m.Issuer)), Key: key}
		if record, err := replica.BrokerRecord(ctx, key); err == nil {
			member.Organisation = record.Broker.Organisation
		}
		if view := views[key]; view != nil {
			age := max(0, now.Unix()-view.IssuedAt)
			member.ViewAge = &age
		}
		if head, ok := heads[m.Keys[0].Key.KeyID]; ok {
			member.Head = Head{Size: head.Size, Root: base64.StdEncoding.EncodeToString(head.Root[:])}
		}
		all = append(all, member)
	}
	return all
}

func currentKey(m registry.Member) string {
	pub, err := m.Keys[len(m.Keys)-1].Key.PublicKey()
	if err != nil {
		return ""
	}
	return registry.Thumbprint(pub)
}

// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

// ShowApp implements admin.Operations.
func (n *Node) ShowApp(ctx context.Context, id admin.AppID) (admin.App, error) {
	state, err := n.client(ctx, id.ClientID)
	if err != nil {
		return admin.App{}, err
	}
	app := describeApp(state)
	for _, record := range state.Because {
		app.Records = append(app.Records, record.Raw)
	}
	if state.Registration == nil { // it describes itself
		return app, nil
	}
	proof, err := n.replica.Proof(ctx, id.ClientID)
	if err != nil {
		return admin.App{}, err
	}
	app.Log, app.Index = proof.Log, proof.Index
	app.Registration = state.Registration.Raw
	if app.Acknowledged, err = n.holders(ctx, id.ClientID); err != nil {
		return admin.App{}, err
	}
	members, err := registeredMembers(state)
	if err != nil {
		return admin.App{}, err
	}
	if app.Metadata, err = json.Marshal(members); err != nil {
		return admin.App{}, err
	}
	app.Connections, err = n.connections(ctx, id.ClientID)
	return app, err
}

// connections lists the sites at which a client was given credentials, by this
// broker or at its request. Not all of them hear of a stop.
func (n *Node) connections(ctx context.Context, id string) ([]admin.Connection, error) {
	known, err := n.store.Connections(ctx, id)
	var all []admin.Connection
	for _, c := range known {
		all = append(all, admin.Connection{
			Site: c.Site, Name: c.Name, Through: c.Through, FirstAt: c.FirstAt, LastAt: c.LastAt, Told: c.Resource != "",
		})
	}
	return all, err
}

// describeApp is the part of a client that lists show too.
func describeApp(state registry.ClientState) admin.App {
	name := ""
	if state.Registration != nil {
		name = state.Registration.Registration.Name
	}
	return admin.App{
		ClientID: state.ID, Name: name,
		State: string(state.Status), Home: state.Home, Reason: state.Reason,
		Since: state.Since, Until: state.Until, Cutoff: state.Cutoff,
		Sequence: state.Sequence, Index: state.Index,
	}
}

// maxPage bounds one page of a list.
const maxPage = 1000

// ListApps implements admin.Operations.
func (n *Node) ListApps(ctx context.Context, page admin.Page) (admin.AppList, error) {
	limit := page.Limit
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	states, err := n.replica.Clients(ctx, page.After, limit)
	if err != nil {
		return admin.AppList{}, err
	}
	list := admin.AppList{Apps: []admin.App{}}
	for _, state := range states {
		list.Apps = append(list.Apps, describeApp(state))
	}
	if len(states) == limit {
		list.Next = states[limit-1].ID
	}
	return list, nil
}

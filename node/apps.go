// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/node/oauth"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

// secretHashMember is the member that only the broker itself may set.
const secretHashMember = "client_secret_sha256"

// RegisterApp implements admin.Operations.
func (n *Node) RegisterApp(ctx context.Context, draft admin.AppDraft) (admin.App, error) {
	members, err := membersOf(draft.Metadata)
	if err != nil {
		return admin.App{}, err
	}
	secret, err := giveSecret(members)
	if err != nil {
		return admin.App{}, err
	}
	app, err := n.appendApp(ctx, registry.Registration{}, members, secret)
	if err == nil && draft.OAuth1 {
		app.OAuth1Secret, err = n.secrets.renew(ctx, app.ClientID)
	}
	if err == nil && draft.Manage {
		app.RegistrationToken, err = n.registration.Manage(ctx, app.ClientID)
		app.RegistrationURI = n.registration.URI(app.ClientID)
	}
	return app, err
}

// UpdateApp implements admin.Operations.
func (n *Node) UpdateApp(ctx context.Context, change admin.AppChange) (admin.App, error) {
	state, err := n.ownClient(ctx, change.ClientID)
	if err != nil {
		return admin.App{}, err
	}
	members, err := registeredMembers(state)
	if err != nil {
		return admin.App{}, err
	}
	changes, err := membersOf(change.Metadata)
	if err != nil {
		return admin.App{}, err
	}
	for name, value := range changes {
		if string(value) == "null" {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	// A change of the authentication method may need a secret, or end one.
	secret := ""
	if members[secretHashMember] == nil || !usesSecret(members) {
		delete(members, secretHashMember)
		if secret, err = giveSecret(members); err != nil {
			return admin.App{}, err
		}
	}
	next := registry.Registration{Client: change.ClientID, Compromised: change.Compromised}
	return n.appendApp(ctx, next, members, secret)
}

// RotateSecret implements admin.Operations.
func (n *Node) RotateSecret(ctx context.Context, id admin.AppID) (admin.App, error) {
	state, err := n.ownClient(ctx, id.ClientID)
	if err != nil {
		return admin.App{}, err
	}
	if id.OAuth1 {
		return n.rotateOAuth1(ctx, id.ClientID)
	}
	members, err := registeredMembers(state)
	if err != nil {
		return admin.App{}, err
	}
	if !usesSecret(members) {
		return admin.App{}, fmt.Errorf("client %s has no secret: its token_endpoint_auth_method is %s; to change its keys: comity app update --jwks FILE",
			id.ClientID, state.Registration.Registration.AuthMethod)
	}
	delete(members, secretHashMember)
	secret, err := giveSecret(members)
	if err != nil {
		return admin.App{}, err
	}
	next := registry.Registration{Client: id.ClientID, Compromised: id.Compromised}
	return n.appendApp(ctx, next, members, secret)
}

// rotateOAuth1 gives a client another OAuth 1.0a secret, which no record names:
// only this broker ever checks it.
func (n *Node) rotateOAuth1(ctx context.Context, id string) (admin.App, error) {
	secret, err := n.secrets.renew(ctx, id)
	if err != nil {
		return admin.App{}, err
	}
	n.log.Info("OAuth 1.0a secret made", slog.Group("audit", "event", "oauth1-secret-made", "client", id))
	app, err := n.ShowApp(ctx, admin.AppID{ClientID: id})
	app.OAuth1Secret = secret
	return app, err
}

// appendApp checks members as client metadata, appends the registration with
// them and shows the client as it is then.
func (n *Node) appendApp(ctx context.Context, r registry.Registration, members map[string]json.RawMessage, secret string) (admin.App, error) {
	data, err := json.Marshal(members)
	if err != nil {
		return admin.App{}, err
	}
	if r.ClientMetadata, err = registry.ParseMetadata(data); err != nil {
		return admin.App{}, err
	}
	id, err := n.appendRegistration(ctx, r)
	if err != nil {
		return admin.App{}, err
	}
	app, err := n.ShowApp(ctx, admin.AppID{ClientID: id})
	app.ClientSecret = secret
	return app, err
}

// appendRegistration signs and logs a registration, whoever wants it, and
// returns the client_id when other members have had time to store it.
func (n *Node) appendRegistration(ctx context.Context, r registry.Registration) (string, error) {
	record, index, err := n.replica.Append(ctx, federation.Draft{Registration: &r})
	if err != nil {
		return "", err
	}
	n.awaitMembers(ctx, index+1)
	return record.ClientID(), nil
}

// ownClient returns a client that this broker may change.
func (n *Node) ownClient(ctx context.Context, id string) (registry.ClientState, error) {
	state, err := n.client(ctx, id)
	if err != nil {
		return state, err
	}
	if state.Home != n.cfg.Issuer {
		return state, fmt.Errorf("client %s is registered with %s: only that broker can change it", id, state.Home)
	}
	return state, nil
}

func (n *Node) client(ctx context.Context, id string) (registry.ClientState, error) {
	if err := registry.CheckClientID(id); err != nil {
		return registry.ClientState{}, fmt.Errorf("%q is not a client_id (they begin with bafkrei, or are an https URL): comity app list shows them", id)
	}
	state, err := n.replica.Client(ctx, id)
	if errors.Is(err, registry.ErrNotFound) && registry.IsClientURL(id) {
		return registry.ClientState{ID: id, HomeStatus: registry.BrokerActive, Status: registry.ClientActive}, nil
	}
	if errors.Is(err, registry.ErrNotFound) {
		return state, fmt.Errorf("no broker of this federation has registered %s: comity app list shows the clients", id)
	}
	return state, err
}

// membersOf reads client metadata that the operator gave.
func membersOf(metadata json.RawMessage) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := strictjson.Unmarshal(metadata, &members); err != nil {
		return nil, fmt.Errorf("client metadata: %w", err)
	}
	if uses := members[oauth.UsesMember]; uses != nil && string(uses) != `"`+protocol.UseOnce+`"` && string(uses) != `"`+protocol.UseWindow+`"` && string(uses) != "null" {
		return nil, fmt.Errorf("client metadata: %s must be %q or %q", oauth.UsesMember, protocol.UseOnce, protocol.UseWindow)
	}
	if members[secretHashMember] != nil {
		return nil, fmt.Errorf("client metadata: %s is made by the broker; leave it out", secretHashMember)
	}
	return members, nil
}

// registeredMembers returns the metadata members of the newest registration.
func registeredMembers(state registry.ClientState) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(state.Registration.Registration.ClientMetadata)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	for name, value := range state.Registration.Registration.Extra {
		members[name] = value
	}
	return members, nil
}

func usesSecret(members map[string]json.RawMessage) bool {
	var method string
	json.Unmarshal(members["token_endpoint_auth_method"], &method)
	return method == registry.AuthSecretBasic || method == registry.AuthSecretPost
}

// giveSecret makes a secret for a client whose method needs one and puts its
// hash among the members. The secret itself is kept nowhere.
func giveSecret(members map[string]json.RawMessage) (string, error) {
	if !usesSecret(members) {
		return "", nil
	}
	var random [32]byte
	rand.Read(random[:])
	secret := jws.Base64.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	hash, err := json.Marshal(jws.Base64.EncodeToString(sum[:]))
	members[secretHashMember] = hash
	return secret, err
}

// SPDX-License-Identifier: Apache-2.0

// Package admin is the local control of a running node: HTTP with JSON over
// the Unix socket admin.sock in the data directory. Whoever can open the
// socket is the operator; its mode is 0600 and its folder's 0700, so there is
// no password.
//
// One method of Operations is one request: POST /<method> with a JSON body,
// answered by 200 and a JSON document, or by a 4xx or 5xx and
// {"error": "one line that says what is wrong and what to do"}. Stopping an
// app is the exception: its answer is a stream of JSON lines, one for each
// change of who has acknowledged it, the last with "done": true.
//
//	→ POST /app/show  {"client_id":"bafkrei…"}
//	← 200 {"client_id":"bafkrei…","state":"active",…}
package admin

import (
	"context"
	"encoding/json"

	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/node/publish"
	"github.com/comity-network/comity/registry"
)

// Operations is what a node offers to its operator. Errors are shown to a
// person as they are.
type Operations interface {
	Status(ctx context.Context) (Status, error)

	// RegisterApp signs and logs a registration. The answer holds the secret
	// of a confidential client, once.
	RegisterApp(ctx context.Context, draft AppDraft) (App, error)
	UpdateApp(ctx context.Context, change AppChange) (App, error)
	RotateSecret(ctx context.Context, id AppID) (App, error)
	ShowApp(ctx context.Context, id AppID) (App, error)
	ListApps(ctx context.Context, page Page) (AppList, error)

	// ListLocalApps lists the apps that registered themselves here, in the
	// open; PromoteApp registers one of them as RegisterApp would.
	ListLocalApps(ctx context.Context, page Page) (LocalAppList, error)
	PromoteApp(ctx context.Context, id AppID) (App, error)
	// MakeToken makes a token with which apps register themselves.
	MakeToken(ctx context.Context, draft TokenDraft) (Token, error)
	ListTokens(ctx context.Context) (TokenList, error)
	EndToken(ctx context.Context, id TokenID) (Token, error)

	// StopApp appends the revocation and calls progress until every online
	// member has acknowledged it, the last time with Done.
	StopApp(ctx context.Context, stop Stop, progress func(StopProgress)) error

	ShowFederation(ctx context.Context) (Federation, error)
	// FoundFederation gives the federation of which this broker is the only
	// member another name and other limits.
	FoundFederation(ctx context.Context, limits membership.Limits) (Decision, error)
	ListRequests(ctx context.Context) (RequestList, error)
	// ApproveRequest and ExpelMember return when the charter is in force, or
	// when more approvals are needed than come by themselves.
	ApproveRequest(ctx context.Context, name Name) (Decision, error)
	RefuseRequest(ctx context.Context, refusal Refusal) (Decision, error)
	ExpelMember(ctx context.Context, name Name) (Decision, error)
	// LeaveFederation proposes the end of this broker's own membership, or
	// withdraws its request for one.
	LeaveFederation(ctx context.Context) (Decision, error)

	AddUser(ctx context.Context, draft UserDraft) (User, error)
	ListUsers(ctx context.Context, page Page) (UserList, error)
	// SetUserPassword and DisableUser end all sessions of the person.
	SetUserPassword(ctx context.Context, change UserPassword) (User, error)
	DisableUser(ctx context.Context, name UserName) (User, error)
	EnableUser(ctx context.Context, name UserName) (User, error)
	RemoveUser(ctx context.Context, name UserName) (User, error)

	ListSites(ctx context.Context) (SiteList, error)
	ShowSite(ctx context.Context, site SiteName) (Site, error)
	CheckSite(ctx context.Context, site SiteName) (SiteCheck, error)
	AllowSite(ctx context.Context, site SiteName) (Site, error)
	DenySite(ctx context.Context, site SiteName) (Site, error)
}

// Status is what `comity status` shows.
type Status struct {
	Issuer         string         `json:"issuer"`
	Version        string         `json:"version"`
	Federation     string         `json:"federation"`
	CharterVersion int64          `json:"charter_version"`
	Joining        *Joining       `json:"joining,omitempty"` // while this broker asks for membership
	PeerID         string         `json:"peer_id"`
	Addresses      []string       `json:"addresses"` // where the other members reach this node
	Peers          int            `json:"peers"`     // connected peers of other members
	Members        []Member       `json:"members"`
	Fresh          bool           `json:"fresh"`
	StaleReason    string         `json:"stale_reason,omitempty"`
	Clients        map[string]int `json:"clients"` // by state
	Outbox         int            `json:"outbox_depth"`
	Store          string         `json:"store"`
	Uptime         int64          `json:"uptime_seconds"`
}

// Member is a member of the federation as this node sees it.
type Member struct {
	publish.Member
	Online       bool  `json:"online"`       // connected to this node, or this node itself
	Acknowledged int64 `json:"acknowledged"` // how many entries of this broker's log it has stored
}

// AppDraft is a registration to be made.
type AppDraft struct {
	Metadata json.RawMessage `json:"metadata"`         // RFC 7591
	Manage   bool            `json:"manage,omitempty"` // with a token by which the app manages its registration
	OAuth1   bool            `json:"oauth1,omitempty"` // with a secret for sites that speak OAuth 1.0a
}

// AppChange replaces members of a registration: those in Metadata are set,
// those that are null there are removed, the others stay.
type AppChange struct {
	ClientID    string          `json:"client_id"`
	Metadata    json.RawMessage `json:"metadata"`
	Compromised bool            `json:"compromised,omitempty"`
}

// AppID names one client.
type AppID struct {
	ClientID    string `json:"client_id"`
	Compromised bool   `json:"compromised,omitempty"` // RotateSecret: the old secret is known to somebody else
	OAuth1      bool   `json:"oauth1,omitempty"`      // RotateSecret: the secret of OAuth 1.0a, which may be its first
}

// App is a client as the operator sees it.
type App struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"` // once, when it was made
	OAuth1Secret string `json:"oauth1_secret,omitempty"` // likewise; the consumer secret, the consumer key is ClientID
	// RegistrationToken and RegistrationURI are for RFC 7592; once.
	RegistrationToken string `json:"registration_access_token,omitempty"`
	RegistrationURI   string `json:"registration_client_uri,omitempty"`

	Name         string          `json:"client_name"`
	State        string          `json:"state"`
	Home         string          `json:"home"`
	Reason       string          `json:"reason,omitempty"`
	Since        int64           `json:"since,omitempty"`
	Until        int64           `json:"until,omitempty"`
	Cutoff       int64           `json:"cutoff,omitempty"`
	Sequence     int64           `json:"seq"`
	Log          string          `json:"log,omitempty"`
	Index        int64           `json:"index"`
	Acknowledged []string        `json:"acknowledged_by,omitempty"` // issuers that hold the record
	Metadata     json.RawMessage `json:"metadata,omitempty"`
	Registration string          `json:"registration,omitempty"` // the signed record
	Records      []string        `json:"records,omitempty"`      // that justify a stop
	Connections  []Connection    `json:"connections,omitempty"`  // sites that speak OAuth 1.0a, where this broker knows that it has credentials
}

// Connection is one site at which an app was given credentials.
type Connection struct {
	Site    string `json:"site"` // its API index
	Name    string `json:"name,omitempty"`
	Through string `json:"through"` // the broker that the site knows
	FirstAt int64  `json:"first_at"`
	LastAt  int64  `json:"last_at"`
	// Told: the site hears of stops from that broker. Else somebody has to call
	// its owner.
	Told bool `json:"told"`
}

// Page asks for clients after an id, or for accounts after a name.
type Page struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// AppList is one page of clients.
type AppList struct {
	Apps []App  `json:"apps"`
	Next string `json:"next,omitempty"` // pass as After for more
}

// Stop suspends, reinstates or revokes a client.
type Stop struct {
	ClientID string          `json:"client_id"`
	Action   registry.Action `json:"action"`
	Reason   string          `json:"reason"`
	For      int64           `json:"for_seconds,omitempty"` // suspend: how long; 0: until it is lifted
	Cutoff   int64           `json:"cutoff,omitempty"`      // seconds since 1970; -1: now
	Note     string          `json:"note,omitempty"`        // for the local audit log only
}

// StopProgress says how far a stop has come.
type StopProgress struct {
	ClientID     string   `json:"client_id"`
	Action       string   `json:"action"`
	State        string   `json:"state"`
	Record       string   `json:"record"` // CID
	Index        int64    `json:"index"`  // in this broker's log
	Online       int      `json:"online"` // members to wait for, this one included
	Acknowledged []string `json:"acknowledged_by"`
	Missing      []string `json:"missing,omitempty"` // of the online members, those that have yet to acknowledge it
	Away         []string `json:"away,omitempty"`    // members that are not online, and have yet to
	SitesTold    int      `json:"sites_told"`
	SitesToTell  int      `json:"sites_to_tell"` // sites that hold live tokens of the client
	SitesToCall  int      `json:"sites_to_call"` // sites that speak OAuth 1.0a and hear of nothing: ShowApp lists them
	Millis       float64  `json:"ms"`            // since the command arrived
	Done         bool     `json:"done"`
	Error        string   `json:"error,omitempty"`
}

// SiteName names one site by its resource URL.
type SiteName struct {
	Resource string `json:"resource"`
}

// Site is a resource server that this broker serves or refuses.
type Site struct {
	Resource string `json:"resource"`
	Policy   string `json:"policy"` // allowed, denied, or empty where the default holds
	LastSeen int64  `json:"last_seen,omitempty"`
	Waiting  int    `json:"waiting_events"`
}

// SiteList holds every site that the broker has met or has a rule for.
type SiteList struct {
	Sites []Site `json:"sites"`
}

// SiteCheck is what is wrong with a site's metadata, if anything.
type SiteCheck struct {
	Resource string   `json:"resource"`
	OK       bool     `json:"ok"`
	Findings []string `json:"findings"` // each says what is wrong and what to do
}

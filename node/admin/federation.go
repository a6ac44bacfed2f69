// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"github.com/comity-network/comity/node/membership"
	"github.com/comity-network/comity/node/publish"
)

// Joining is a request for membership that this broker has made.
type Joining struct {
	URL        string `json:"url"`        // of the member that is asked
	Federation string `json:"federation"` // empty until that has answered
	Request    string `json:"request,omitempty"`
	State      string `json:"state"` // waiting or proposed; refused, until the node ends
	Trouble    string `json:"trouble,omitempty"`
}

// Federation is what `comity federation show` shows.
type Federation struct {
	Issuer           string           `json:"issuer"` // of this broker
	Federation       string           `json:"federation"`
	Name             string           `json:"name"`
	CharterVersion   int64            `json:"charter_version"`
	Charter          string           `json:"charter"`
	Threshold        int              `json:"threshold"` // approvals that the next charter needs
	ViewQuorum       int              `json:"view_quorum"`
	BanThreshold     int              `json:"ban_threshold"`
	MaxAge           int64            `json:"max_age"`
	MaxSuspension    int64            `json:"max_suspension"`
	SuspensionQuota  int              `json:"suspension_quota"`
	ClientsPerMember int64            `json:"clients_per_member"`
	Frozen           bool             `json:"frozen,omitempty"` // two valid successors of one charter are known
	Joining          *Joining         `json:"joining,omitempty"`
	Members          []publish.Member `json:"members"`
}

// Name names a request by its id, a member or applicant by its issuer, or a
// proposed charter by its CID.
type Name struct {
	Name string `json:"name"`
}

// Refusal ends a request.
type Refusal struct {
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"` // the applicant is told
}

// Request is what waits for the members' approval: a broker that asks for
// membership here, or a charter that another member has proposed.
type Request struct {
	ID           string              `json:"id"` // of the request, or the CID of the charter
	State        string              `json:"state"`
	Issuer       string              `json:"issuer,omitempty"`
	Organisation string              `json:"organisation,omitempty"`
	Key          string              `json:"key,omitempty"` // thumbprint of the record key
	ReceivedAt   int64               `json:"received_at,omitempty"`
	ExpiresAt    int64               `json:"expires_at,omitempty"`
	Reason       string              `json:"reason,omitempty"` // of a refusal
	Charter      string              `json:"charter,omitempty"`
	Changes      []membership.Change `json:"changes,omitempty"` // what the charter changes
	ApprovedBy   []string            `json:"approved_by,omitempty"`
	Approvals    int                 `json:"approvals"`
	Needed       int                 `json:"needed,omitempty"`
}

// RequestList is all that waits.
type RequestList struct {
	Requests []Request `json:"requests"`
}

// Decision is what an operator's decision has come to.
type Decision struct {
	Subject        string   `json:"subject,omitempty"` // the issuer that it is about
	State          string   `json:"state"`             // in-force, proposed, queued, refused or withdrawn
	CharterVersion int64    `json:"charter_version,omitempty"`
	Charter        string   `json:"charter,omitempty"`
	ApprovedBy     []string `json:"approved_by,omitempty"`
	Approvals      int      `json:"approvals"`
	Needed         int      `json:"needed,omitempty"`
	Pending        string   `json:"pending,omitempty"` // what is missing, for people
}

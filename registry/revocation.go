// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"strings"
)

// Action is what a revocation does.
type Action string

// The three actions of a revocation.
const (
	Suspend   Action = "suspend"
	Reinstate Action = "reinstate"
	Revoke    Action = "revoke"
)

// Reasons are the accepted values of Revocation.Reason.
var Reasons = []string{"malicious", "compromised", "policy", "superseded", "developer-request", "unspecified"}

// Revocation is the body of a revocation record.
type Revocation struct {
	Claims
	Client   string `json:"client_id"`
	Action   Action `json:"action"`
	Reason   string `json:"reason"`
	Cutoff   int64  `json:"cutoff,omitempty"` // tokens issued up to this second are dead for good
	Until    int64  `json:"until,omitempty"`  // suspend only: when it ends by itself; needed from a member that is not the home
	Charter  string `json:"charter"`          // CID of the charter that it is judged by
	Sequence int64  `json:"seq,omitempty"`    // from the home broker only, at least 1
	Previous string `json:"prev,omitempty"`   // from the home broker only
}

// SignRevocation signs a revocation with k, a record key. An empty jti is
// filled in.
func SignRevocation(k SigningKey, r Revocation) (*Record, error) {
	r.fill()
	body, err := encode(r)
	if err != nil {
		return nil, err
	}
	return sign(k, KindRevocation, body)
}

func parseRevocation(payload []byte) (*Revocation, error) {
	r := new(Revocation)
	fields := append(r.Claims.fields(),
		field{name: "client_id", into: &r.Client, required: true},
		field{name: "action", into: &r.Action, required: true},
		field{name: "reason", into: &r.Reason, required: true},
		field{name: "cutoff", into: &r.Cutoff},
		field{name: "until", into: &r.Until},
		field{name: "charter", into: &r.Charter, required: true},
		field{name: "seq", into: &r.Sequence},
		field{name: "prev", into: &r.Previous},
	)
	if err := decode(payload, fields, ignore); err != nil {
		return nil, err
	}
	return r, r.check()
}

func (r *Revocation) check() error {
	if err := r.Claims.check(); err != nil {
		return err
	}
	if err := CheckClientID(r.Client); err != nil {
		return relabel(err, "client_id")
	}
	if !slices.Contains([]Action{Suspend, Reinstate, Revoke}, r.Action) {
		return wrong(classValue, "action", "action is %.30q: use suspend, reinstate or revoke", r.Action)
	}
	if !slices.Contains(Reasons, r.Reason) {
		return wrong(classValue, "reason", "reason is %.30q: use one of %s", r.Reason, strings.Join(Reasons, ", "))
	}
	if err := checkCID("charter", r.Charter); err != nil {
		return err
	}
	if err := r.checkTimes(); err != nil {
		return err
	}
	return r.checkChain()
}

func (r *Revocation) checkTimes() error {
	if r.Cutoff != 0 {
		if err := checkTime("cutoff", r.Cutoff); err != nil {
			return err
		}
		if most := r.IssuedAt + int64(MaxCutoffAhead.Seconds()); r.Cutoff > most {
			return wrong(classValue, "cutoff", "cutoff is more than %.0f s after iat: tokens of the future cannot be judged", MaxCutoffAhead.Seconds())
		}
	}
	if r.Until == 0 {
		return nil
	}
	if r.Action != Suspend {
		return wrong(classUnwanted, "until", "until must be left out with %s: only a suspension ends by itself", r.Action)
	}
	if err := checkTime("until", r.Until); err != nil {
		return err
	}
	if r.Until <= r.IssuedAt {
		return wrong(classValue, "until", "until is not after iat: the suspension would be over before it began")
	}
	return nil
}

// checkChain wants seq and prev together, or neither.
func (r *Revocation) checkChain() error {
	switch {
	case r.Sequence == 0 && r.Previous == "":
		return nil
	case IsClientURL(r.Client):
		return wrong(classUnwanted, "seq", "a client with a URL as its client_id has no home broker: leave out seq and prev")
	case r.Sequence == 0:
		return wrong(classMissing, "seq", "seq is missing beside prev: the home broker gives both, others neither")
	}
	if err := checkSequence(r.Sequence, 1); err != nil {
		return err
	}
	if r.Previous == "" {
		return wrong(classMissing, "prev", "prev is missing beside seq: the home broker gives both, others neither")
	}
	return checkCID("prev", r.Previous)
}

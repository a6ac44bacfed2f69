// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/comity-network/comity/internal/strictjson"
)

// Registration is the body of a registration record: client metadata (RFC
// 7591) as top-level claims, beside the chain of the client's history.
type Registration struct {
	Claims
	Sequence int64  `json:"seq"`            // counts the home broker's records about the client
	Client   string `json:"sub,omitempty"`  // client_id; absent exactly when seq is 0
	Previous string `json:"prev,omitempty"` // CID of the record with seq-1; absent exactly when seq is 0
	// Compromised says that this registration replaces credentials that
	// somebody else may know: registrations with a lower seq are void.
	Compromised bool `json:"compromised,omitempty"`
	ClientMetadata
}

// chainNames are the members that a broker sets and client metadata never do.
var chainNames = []string{"iss", "iat", "jti", "seq", "sub", "prev", "compromised"}

// SignRegistration signs a registration with k, the record key of the home
// broker. An empty jti is filled in.
func SignRegistration(k SigningKey, r Registration) (*Record, error) {
	r.fill()
	body, err := encode(r)
	if err != nil {
		return nil, err
	}
	if body, err = withExtra(body, r.Extra, append((&r).chainFields(), r.ClientMetadata.fields()...)); err != nil {
		return nil, err
	}
	return sign(k, KindRegistration, body)
}

// withExtra adds the members that this version does not know, sorted by name.
func withExtra(body []byte, extra map[string]json.RawMessage, known []field) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if fieldIndex(known, name) >= 0 {
			return nil, wrong(classUnwanted, name, "%s is a member that this version knows: set its field, not Extra", name)
		}
		member, err := encode(map[string]json.RawMessage{name: extra[name]})
		if err != nil {
			return nil, wrong(classValue, name, "%.60q in Extra is not a JSON value", name)
		}
		if len(body) > len("{}") {
			body[len(body)-1] = ','
			member = member[1:]
		} else {
			body = nil
		}
		body = append(body, member...)
	}
	return body, nil
}

func (r *Registration) chainFields() []field {
	return append(r.Claims.fields(),
		field{name: "seq", into: &r.Sequence, required: true, zero: true},
		field{name: "sub", into: &r.Client},
		field{name: "prev", into: &r.Previous},
		field{name: "compromised", into: &r.Compromised},
	)
}

func parseRegistration(payload []byte) (*Registration, error) {
	r := new(Registration)
	fields := append(r.chainFields(), r.ClientMetadata.fields()...)
	err := decode(payload, fields, func(m strictjson.Member) error {
		if err := ignore(m); err != nil {
			return err
		}
		return r.keep(m)
	})
	if err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, CheckMetadata(&r.ClientMetadata)
}

func (r *Registration) check() error {
	if err := r.Claims.check(); err != nil {
		return err
	}
	if err := checkSequence(r.Sequence, 0); err != nil {
		return err
	}
	if r.Sequence == 0 {
		return r.checkFirst()
	}
	if r.Client == "" {
		return wrong(classMissing, "sub", "sub is missing: from seq 1 on it is the client_id")
	}
	if err := checkCID("sub", r.Client); err != nil {
		return err
	}
	if r.Previous == "" {
		return wrong(classMissing, "prev", "prev is missing: from seq 1 on it is the CID of the record before")
	}
	return checkCID("prev", r.Previous)
}

func (r *Registration) checkFirst() error {
	switch {
	case r.Client != "":
		return wrong(classUnwanted, "sub", "sub must be left out where seq is 0: the client_id is the CID of this record")
	case r.Previous != "":
		return wrong(classUnwanted, "prev", "prev must be left out where seq is 0: there is no record before")
	case r.Compromised:
		return wrong(classUnwanted, "compromised", "compromised must be left out where seq is 0: it replaces earlier credentials")
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"strings"
)

// Broker is the body of a broker record: what one broker says about itself.
// The one with the highest log index counts.
type Broker struct {
	Claims
	Organisation string            `json:"organisation"`
	RecordKey    JWK               `json:"record_key"` // the key that signs this record
	Endpoints    map[string]string `json:"endpoints"`  // RFC 8414 member names, same origin as iss
	TokenKeys    []JWK             `json:"token_keys"` // public keys that sign JWTs and notifications; Ed25519 each
	Peers        []Peer            `json:"peers"`
}

// Peer is one libp2p host of a broker.
type Peer struct {
	ID        string   `json:"id"`    // peer ID in base58
	Addresses []string `json:"addrs"` // multiaddrs
}

// SignBroker signs a broker record with k, the record key. An empty jti or
// record_key is filled in.
func SignBroker(k SigningKey, b Broker) (*Record, error) {
	b.fill()
	if b.RecordKey == (JWK{}) {
		b.RecordKey = k.JWK()
	}
	if b.Endpoints == nil {
		b.Endpoints = map[string]string{}
	}
	if b.Peers == nil {
		b.Peers = []Peer{}
	}
	body, err := encode(b)
	if err != nil {
		return nil, err
	}
	return sign(k, KindBroker, body)
}

func parseBroker(payload []byte, kid string) (*Broker, error) {
	b := new(Broker)
	fields := append(b.Claims.fields(),
		field{name: "organisation", into: &b.Organisation, required: true},
		field{name: "record_key", into: &b.RecordKey, required: true},
		field{name: "endpoints", into: &b.Endpoints, required: true, zero: true},
		field{name: "token_keys", into: &b.TokenKeys, required: true},
		field{name: "peers", into: &b.Peers, required: true, zero: true},
	)
	if err := decode(payload, fields, ignore); err != nil {
		return nil, err
	}
	return b, b.check(kid)
}

func (b *Broker) check(kid string) error {
	if err := b.Claims.check(); err != nil {
		return err
	}
	if err := checkText("organisation", b.Organisation, MaxNameRunes); err != nil {
		return err
	}
	if err := checkBrokerKey("record_key", b.RecordKey); err != nil {
		return err
	}
	if b.RecordKey.KeyID != kid {
		return wrong(classKid, "record_key", "record_key is not the key that signed the record: sign with the key that it names")
	}
	if err := b.checkTokenKeys(); err != nil {
		return err
	}
	if err := b.checkEndpoints(); err != nil {
		return err
	}
	return b.checkPeers()
}

func checkBrokerKey(member string, j JWK) error {
	if j.KeyID == "" {
		return wrong(classMissing, "kid", "%s has no kid: add the RFC 7638 thumbprint", member)
	}
	if _, err := j.PublicKey(); err != nil {
		return relabel(err, member)
	}
	return nil
}

// checkTokenKeys keeps the uses of keys apart (a record key signs no tokens).
func (b *Broker) checkTokenKeys() error {
	if len(b.TokenKeys) > MaxKeys {
		return wrong(classLimit, "token_keys", "token_keys has %d keys, at most %d are allowed: drop retired ones", len(b.TokenKeys), MaxKeys)
	}
	seen := []string{b.RecordKey.KeyID}
	for _, j := range b.TokenKeys {
		if err := checkBrokerKey("token_keys", j); err != nil {
			return err
		}
		if slices.Contains(seen, j.KeyID) {
			return wrong(classValue, "token_keys", "token_keys names a key twice, or the record key: every use has its own key")
		}
		seen = append(seen, j.KeyID)
	}
	return nil
}

func (b *Broker) checkEndpoints() error {
	if len(b.Endpoints) > MaxEndpoints {
		return wrong(classLimit, "endpoints", "endpoints has %d members, at most %d are allowed", len(b.Endpoints), MaxEndpoints)
	}
	for name, endpoint := range b.Endpoints {
		if !isEndpointName(name) {
			return wrong(classValue, "endpoints", "endpoints has a member %.60q: names are those of RFC 8414, as token_endpoint or jwks_uri", name)
		}
		u, err := parseURI(endpoint)
		if err != nil {
			return relabel(err, "endpoints")
		}
		if origin := u.origin(); origin != originOf(b.Issuer) {
			return wrong(classValue, "endpoints", "endpoints: %s is at %s: all must have the origin of iss", name, origin)
		}
	}
	return nil
}

func isEndpointName(name string) bool {
	if len(name) > 64 || !strings.HasSuffix(name, "_endpoint") && !strings.HasSuffix(name, "_uri") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// base58 is the alphabet of peer IDs.
const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// checkPeers checks lengths and characters; whether a peer ID and an address
// can be used is for the one who dials to find out.
func (b *Broker) checkPeers() error {
	if len(b.Peers) > MaxPeers {
		return wrong(classLimit, "peers", "peers has %d entries, at most %d are allowed", len(b.Peers), MaxPeers)
	}
	var seen []string
	for _, p := range b.Peers {
		if len(p.ID) < 32 || len(p.ID) > 64 || strings.Trim(p.ID, base58) != "" {
			return wrong(classValue, "peers", "peers: id %.70q is not a peer ID in base58", p.ID)
		}
		if slices.Contains(seen, p.ID) {
			return wrong(classValue, "peers", "peers: %s is there twice", p.ID)
		}
		seen = append(seen, p.ID)
		if len(p.Addresses) > MaxPeers {
			return wrong(classLimit, "peers", "peers: %s has %d addresses, at most %d are allowed", p.ID, len(p.Addresses), MaxPeers)
		}
		for _, a := range p.Addresses {
			if len(a) > MaxAddressBytes || !strings.HasPrefix(a, "/") || !isVisible(a) {
				return wrong(classValue, "peers", "peers: %.60q is not a multiaddr, which starts with a slash", a)
			}
		}
	}
	return nil
}

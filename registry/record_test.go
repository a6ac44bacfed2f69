// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/ed25519"
	"errors"
	"reflect"
	"testing"

	"github.com/comity-network/comity/registry"
)

const (
	issuer = "https://broker.example"
	now    = 1_790_000_000
)

// fixedKey is the key whose 32 seed bytes are all n.
func fixedKey(n byte) registry.SigningKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = n
	}
	return registry.NewSigningKey(ed25519.NewKeyFromSeed(seed))
}

func claims() registry.Claims {
	return registry.Claims{Issuer: issuer, IssuedAt: now, ID: "AAECAwQFBgcICQoLDA0ODw"}
}

func publicClient() registry.ClientMetadata {
	return registry.ClientMetadata{
		Name:         "Photo Printer",
		RedirectURIs: []string{"https://printer.example/callback"},
		AuthMethod:   registry.AuthNone,
	}
}

func registration() registry.Registration {
	return registry.Registration{Claims: claims(), ClientMetadata: publicClient()}
}

func revocation() registry.Revocation {
	return registry.Revocation{
		Claims: claims(), Client: registry.CID([]byte("client")), Action: registry.Suspend,
		Reason: "malicious", Until: now + 3600, Charter: registry.CID([]byte("charter")),
	}
}

func view() registry.View {
	const digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	return registry.View{Claims: claims(), Charter: registry.CID([]byte("charter")), LogRoot: digest, StopHash: digest}
}

func broker() registry.Broker {
	return registry.Broker{
		Claims: claims(), Organisation: "Example Broker",
		Endpoints: map[string]string{"token_endpoint": issuer + "/oauth/token"},
		TokenKeys: []registry.JWK{fixedKey(2).JWK()},
		Peers: []registry.Peer{{
			ID:        "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo",
			Addresses: []string{"/dns4/broker.example/tcp/4001"},
		}},
	}
}

// must returns the record, or ends the test.
func must(t testing.TB, r *registry.Record, err error) *registry.Record {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// oneOfEach signs a record of each kind with key 1.
func oneOfEach(t testing.TB) map[registry.Kind]*registry.Record {
	t.Helper()
	k := fixedKey(1)
	all := map[registry.Kind]*registry.Record{}
	for _, sign := range []func() (*registry.Record, error){
		func() (*registry.Record, error) { return registry.SignBroker(k, broker()) },
		func() (*registry.Record, error) { return registry.SignRegistration(k, registration()) },
		func() (*registry.Record, error) { return registry.SignRevocation(k, revocation()) },
		func() (*registry.Record, error) { return registry.SignView(k, view()) },
	} {
		r, err := sign()
		must(t, r, err)
		all[r.Kind] = r
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for kind, r := range oneOfEach(t) {
		t.Run(string(kind), func(t *testing.T) {
			again, err := registry.ParseRecord([]byte(r.Raw))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r, again) {
				t.Errorf("read back as\n%+v, signed was\n%+v", again, r)
			}
			if err := again.Verify(fixedKey(1).Public()); err != nil {
				t.Error(err)
			}
			if err := again.Verify(fixedKey(2).Public()); !errors.Is(err, registry.ErrSignature) {
				t.Errorf("verified under another key: %v", err)
			}
			if again.CID != registry.CID([]byte(r.Raw)) || registry.ParseCID(again.CID) != nil {
				t.Errorf("CID %s", again.CID)
			}
		})
	}
}

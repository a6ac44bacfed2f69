// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-network/comity/registry"
)

// What is accepted is read again as the same, under the same name; what is
// refused, for a reason that has a slug.
func FuzzParseRecord(f *testing.F) {
	for _, v := range readVectors(f) {
		if readers[v.kind] != nil && (v.kind == "any" || strings.HasSuffix(v.kind, "+jwt")) {
			f.Add(v.object)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) { readTwice(t, raw) })
}

// FuzzPayload is FuzzParseRecord behind the envelope, which a fuzzer seldom
// gets through.
func FuzzPayload(f *testing.F) {
	kinds := []registry.Kind{registry.KindBroker, registry.KindRegistration, registry.KindRevocation, registry.KindView}
	for _, v := range readVectors(f) {
		if i := slices.Index(kinds, registry.Kind(v.kind)); i >= 0 && v.header["claims"] != "" {
			f.Add(uint8(i), []byte(v.header["claims"]))
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, payload []byte) {
		readTwice(t, []byte(fixedKey(1).Sign(string(kinds[int(i)%len(kinds)]), payload)))
	})
}

func readTwice(t *testing.T, raw []byte) {
	r, err := registry.ParseRecord(raw)
	if err != nil {
		if r != nil || registry.Slug(err) == "" || !errors.Is(err, registry.ErrForm) {
			t.Fatalf("refused as %v (%T) with %v", err, err, r)
		}
		return
	}
	again, err := registry.ParseRecord([]byte(r.Raw), r.Kind)
	if err != nil || r.Raw != string(raw) || !reflect.DeepEqual(r, again) {
		t.Fatalf("read again as %+v, %v", again, err)
	}
	if err := registry.CheckCID(r.CID, raw); err != nil {
		t.Fatal(err)
	}
	if id := r.ClientID(); id != "" && registry.ParseCID(id) != nil {
		t.Fatalf("client_id %q", id)
	}
	signAgain(t, r)
}

// signAgain signs what was read with another key and expects the same content.
func signAgain(t *testing.T, r *registry.Record) {
	k := fixedKey(9)
	var signed *registry.Record
	var err error
	switch {
	case r.Registration != nil:
		signed, err = registry.SignRegistration(k, *r.Registration)
	case r.Revocation != nil:
		signed, err = registry.SignRevocation(k, *r.Revocation)
	case r.View != nil:
		signed, err = registry.SignView(k, *r.View)
	default:
		return // a broker record names its key
	}
	if errors.Is(err, registry.ErrLimit) {
		return // a record at the limit may grow by another spelling
	}
	if err != nil {
		t.Fatalf("what was read cannot be signed: %v", err)
	}
	if !reflect.DeepEqual(compacted(r.Registration), compacted(signed.Registration)) ||
		!reflect.DeepEqual(r.Revocation, signed.Revocation) || !reflect.DeepEqual(r.View, signed.View) {
		t.Fatalf("%+v was signed as %+v", r, signed)
	}
}

// compacted is a registration without the white space in its raw members.
func compacted(r *registry.Registration) any {
	if r == nil {
		return nil
	}
	extra, err := json.Marshal(r.Extra)
	if err != nil {
		return err
	}
	rest, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return string(extra) + string(rest)
}

func FuzzParseMetadata(f *testing.F) {
	for _, v := range readVectors(f) {
		if claims := v.header["claims"]; strings.Contains(claims, "client_name") {
			f.Add([]byte("{" + strings.TrimPrefix(claims, "{"+claimsJSON+`,"seq":0,`)))
		}
	}
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := registry.ParseMetadata(data)
		if err != nil {
			if registry.Slug(err) == "" || !errors.Is(err, registry.ErrForm) {
				t.Fatalf("refused as %v (%T)", err, err)
			}
			return
		}
		if registry.CheckMetadata(&m) != nil {
			return
		}
		// What is judged good can be signed, and is then read as it was meant.
		r, err := registry.SignRegistration(fixedKey(1), registry.Registration{Claims: claims(), ClientMetadata: m})
		if errors.Is(err, registry.ErrLimit) {
			return
		}
		if err != nil {
			t.Fatalf("good metadata cannot be signed: %v", err)
		}
		have, want := r.Registration.ClientMetadata, m
		for _, uri := range want.RedirectURIs {
			if !have.AllowsRedirect(uri) {
				t.Fatalf("%q is registered and not allowed", uri)
			}
		}
		if have.Name != want.Name || have.AuthMethod != want.AuthMethod || len(have.Extra) != len(want.Extra) {
			t.Fatalf("%+v was signed as %+v", want, have)
		}
	})
}

// A redirect URI that is accepted is its own canonical form.
func FuzzCheckRedirectURI(f *testing.F) {
	for _, v := range variants {
		f.Add(v.uri, true)
	}
	f.Fuzz(func(t *testing.T, uri string, native bool) {
		err := registry.CheckRedirectURI(uri, native)
		m := registry.ClientMetadata{RedirectURIs: []string{uri}}
		if native {
			m.ApplicationType = "native"
		}
		if m.AllowsRedirect(uri) != (err == nil) {
			t.Fatalf("%q: %v, yet AllowsRedirect says otherwise", uri, err)
		}
		if err == nil {
			if strings.ContainsAny(uri, "#\\ \t\r\n\x00") {
				t.Fatalf("%q is accepted", uri)
			}
			return
		}
		_, advice, found := strings.Cut(err.Error(), "form: write ")
		if canonical, bad := strconv.Unquote(advice); found && bad == nil {
			if err := registry.CheckRedirectURI(canonical, native); err != nil && strings.Contains(err.Error(), "form: write ") {
				t.Fatalf("%q is advised for %q, and then %v", canonical, uri, err)
			}
		}
	})
}

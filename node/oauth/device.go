// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/protocol"
)

const (
	deviceLife     = 600 // of device codes, in seconds
	deviceInterval = 5   // between two polls, in seconds
	// userCodeLetters make no words and are hard to take for each other (RFC
	// 8628, section 6.1). Eight of them are 34 bits, of which guessing gets
	// nowhere at the rate that is let through in deviceLife.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// Device is a device that waits for a person to allow it something elsewhere
// (RFC 8628).
type Device struct {
	Hash      string  // protocol.TokenHash of the device code
	UserCode  string  // what the person types, without the dash
	Ask       Ask     // Ask.Device is Hash
	Answer    *Answer // nil: nobody has decided
	ExpiresAt int64   // seconds since 1970
}

// Devices keeps devices that wait.
type Devices interface {
	// AddDevice stores one. registry.ErrConflict: the user code is taken.
	AddDevice(ctx context.Context, d Device) error
	// DeviceByCode returns the device whose person types that code.
	// registry.ErrNotFound: nobody waits with it, or somebody has decided.
	DeviceByCode(ctx context.Context, userCode string, now int64) (Device, error)
	// Device returns what has become of a device. registry.ErrNotFound: there
	// is none.
	Device(ctx context.Context, hash string) (Device, error)
	// AnswerDevice notes the answer, once. registry.ErrNotFound: there was one
	// before, or the device waits no longer.
	AnswerDevice(ctx context.Context, hash string, a Answer, now int64) error
}

// deviceAnswer is the document of RFC 8628, section 3.2.
type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int64  `json:"expires_in"`
	Interval   int64  `json:"interval"`
}

// deviceAuthorization is the device authorization endpoint (RFC 8628, section
// 3.1).
func (s *Server) deviceAuthorization(w http.ResponseWriter, r *http.Request) (any, error) {
	f, err := parseForm(w, r)
	if err != nil {
		return nil, err
	}
	if err := s.mayMint(); err != nil {
		return nil, err
	}
	c, err := s.authenticate(r, f, s.claimStored)
	if err != nil {
		return nil, err
	}
	if err := s.mayAsk(r); err != nil {
		return nil, err
	}
	if !c.Metadata.AllowsGrant(registry.GrantDeviceCode) {
		return nil, unauthorizedClient("the client is not registered for the grant type %s", registry.GrantDeviceCode)
	}
	q, err := s.directAsk(r.Context(), exchange{form: f, client: &client{ID: c.ID, State: c.State, Metadata: withoutDPoP(c)}})
	if err != nil {
		return nil, err
	}
	code := newSecret()
	q.Device = protocol.TokenHash(code)
	d := Device{Hash: q.Device, Ask: q, ExpiresAt: s.now() + deviceLife}
	if err := s.addDevice(r.Context(), &d); err != nil {
		return nil, err
	}
	shown := d.UserCode[:userCodeLength/2] + "-" + d.UserCode[userCodeLength/2:]
	return deviceAnswer{
		DeviceCode: code, UserCode: shown, URI: s.paths.device, Complete: s.paths.device + "?user_code=" + shown,
		ExpiresIn: deviceLife, Interval: deviceInterval,
	}, nil
}

// withoutDPoP are the metadata of a client that shows its key when it polls.
func withoutDPoP(c *client) registry.ClientMetadata {
	m := c.Metadata
	m.DPoPBound = false
	return m
}

// addDevice stores a device with a code that nobody else waits with.
func (s *Server) addDevice(ctx context.Context, d *Device) error {
	for {
		d.UserCode = newUserCode()
		err := s.cfg.Store.AddDevice(ctx, *d)
		if !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
}

func newUserCode() string {
	code := make([]byte, userCodeLength)
	for i := range code {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			panic(err) // never fails
		}
		code[i] = userCodeLetters[n.Int64()]
	}
	return string(code)
}

// Device returns what the device with a user code asks for, however the person
// has typed it. Any error is for a page; wrong codes are counted for the
// address.
func (s *Server) Device(r *http.Request, typed string) (Ask, error) {
	remote := ratelimit.AddressKey(r.RemoteAddr)
	if wait := s.byUserCode.Wait(remote); wait > 0 {
		return Ask{}, tooMany(wait)
	}
	d, err := s.cfg.Store.DeviceByCode(r.Context(), userCode(typed), s.now())
	if errors.Is(err, registry.ErrNotFound) {
		s.byUserCode.Take(remote)
		return Ask{}, invalidRequest("no device waits with this code. It may have expired: the device shows a new one")
	}
	if err != nil {
		return Ask{}, err
	}
	_, err = s.known(r.Context(), d.Ask.ClientID)
	return d.Ask, err
}

// userCode is the code in what somebody typed: in capitals, without whatever
// stands between them (RFC 8628, section 6.1).
func userCode(typed string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(userCodeLetters, c) {
			return c
		}
		return -1
	}, strings.ToUpper(limit(typed, 64)))
}

func (s *Server) decideDevice(ctx context.Context, q Ask, a Answer) error {
	err := s.cfg.Store.AnswerDevice(ctx, q.Device, a, s.now())
	if errors.Is(err, registry.ErrNotFound) {
		return invalidRequest("the device waits no longer; start again there")
	}
	return err
}

// deviceGrant answers a device that asks whether somebody has decided (RFC
// 8628, section 3.4).
func (s *Server) deviceGrant(ctx context.Context, x exchange) (*offer, error) {
	raw, err := x.form.need("device_code")
	if err != nil {
		return nil, err
	}
	d, err := s.cfg.Store.Device(ctx, protocol.TokenHash(raw))
	if errors.Is(err, registry.ErrNotFound) || err == nil && d.Ask.ClientID != x.client.ID {
		return nil, invalidGrant("the device code is unknown, or was given to another client")
	}
	if err != nil {
		return nil, err
	}
	tooSoon := s.polls.Take(d.Hash) > 0
	switch {
	case d.ExpiresAt <= s.now():
		return nil, failure("expired_token", "nobody has decided in time; begin again")
	case tooSoon:
		return nil, failure("slow_down", "wait %d seconds more between two requests", deviceInterval)
	case d.Answer == nil:
		return nil, failure("authorization_pending", "nobody has decided yet")
	case d.Answer.Error != "":
		return nil, failure(d.Answer.Error, "the person has said no")
	}
	if err := bound(x.client, x.proof, ""); err != nil {
		return nil, err
	}
	return s.allowed(ctx, x, d.Ask, *d.Answer, &OneTime{Key: d.Hash, ExpiresAt: d.ExpiresAt + skew})
}

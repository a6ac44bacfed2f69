// SPDX-License-Identifier: Apache-2.0

package site

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/registry"
	"github.com/comity-network/comity/site/internal/store"
	"github.com/comity-network/comity/site/protocol"
)

// refuse400 makes the answer by which a site refuses an event.
func refuse400(err, format string, args ...any) *protocol.PushError {
	return &protocol.PushError{Err: err, Description: describable(fmt.Sprintf(format, args...))}
}

// serveEvents receives notifications (RFC 8935): 202 after the durable write,
// 400 for good, 503 for "try again".
func (s *Site) serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/secevent+jwt":
		s.answer(w, s.receive(w, r))
	case err == nil && kind == "application/secevent-batch+jwt":
		s.serveBatch(w, r)
	default:
		s.answer(w, refuse400(protocol.ErrInvalidRequest, "Content-Type is neither application/secevent+jwt nor application/secevent-batch+jwt"))
	}
}

// answer says what became of an event, or of a batch as a whole.
func (s *Site) answer(w http.ResponseWriter, err error) {
	var refused *protocol.PushError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.As(err, &refused):
		s.config.Log.Info("event refused", "error", refused.Err, "description", refused.Description)
		s.writeJSON(w, http.StatusBadRequest, refused)
	default:
		s.config.Log.Error("event not stored", "error", err)
		w.Header().Set("Retry-After", "1")
		s.writeJSON(w, http.StatusServiceUnavailable, map[string]string{"description": "the site could not check or store the event"})
	}
}

func (s *Site) receive(w http.ResponseWriter, r *http.Request) error {
	token, err := readEvent(w, r)
	if err != nil {
		return err
	}
	return s.Receive(r.Context(), token)
}

func readEvent(w http.ResponseWriter, r *http.Request) (string, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxEventBytes))
	if err != nil {
		return "", refuse400(protocol.ErrInvalidRequest, "the body could not be read, or is longer than %d bytes", protocol.MaxEventBytes)
	}
	return string(body), nil
}

// Receive takes one signed event, as the events endpoint does; it is for
// programs that fetch events by polling (RFC 8936). nil means that the event
// and its effect are stored, now or before. A *protocol.PushError means that the site refuses
// it for good; any other error, that it may be tried again.
func (s *Site) Receive(ctx context.Context, token string) error {
	event, err := protocol.ParseEvent(token)
	if err != nil {
		return refuse400(protocol.ErrInvalidRequest, "%v", err)
	}
	if err := s.authenticate(ctx, event, &event.Event); err != nil {
		return err
	}
	return s.take(ctx, &event.Event, s.meet)
}

// take stores an authentic event, and its effect. meet is asked for the client
// of a new token that the site has not met.
func (s *Site) take(ctx context.Context, event *protocol.Event, meet meeting) error {
	if err := s.checkSender(event); err != nil {
		return err
	}
	id := store.Event{Broker: event.Issuer, ID: event.ID, Digest: digest(*event), At: s.config.Now().Unix()}
	var err error
	switch {
	case event.TokenIssued != nil:
		err = s.tokenIssued(ctx, id, event.TokenIssued, event.IssuedAt, meet)
	case event.TokenRevoked != nil:
		err = s.tokenRevoked(ctx, id, event.TokenRevoked)
	case event.TokensRevoked != nil:
		err = s.tokensRevoked(ctx, id, event.TokensRevoked)
	case event.ClientDisabled != nil:
		err = s.clientDisabled(ctx, id, event.ClientDisabled)
	case event.ClientEnabled != nil:
		err = s.clientEnabled(ctx, id, event.ClientEnabled)
	}
	switch {
	case errors.Is(err, store.ErrUsed): // the same event again is as good as the first time
		return nil
	case errors.Is(err, store.ErrReused):
		return refuse400(protocol.ErrInvalidRequest, "this jti was used for another event")
	}
	return err
}

// digest names what an event says, without the time of its delivery.
func digest(e protocol.Event) string {
	e.IssuedAt = 0
	claims, err := e.MarshalJSON()
	if err != nil {
		panic(err) // it was parsed
	}
	sum := sha256.Sum256(claims)
	return jws.Base64.EncodeToString(sum[:])
}

// signed is a *protocol.SignedEvent or a *protocol.SignedBatch.
type signed interface {
	KeyID() string
	Verify(keys map[string]ed25519.PublicKey, now time.Time) error
}

// authenticate checks whom e, an event of what is signed, is from and for, the
// signature by a token key out of that broker's record, and the time.
func (s *Site) authenticate(ctx context.Context, signed signed, e *protocol.Event) error {
	if !slices.Contains(s.config.Brokers, e.Issuer) {
		return refuse400(protocol.ErrInvalidIssuer, "%s is no broker of this site", e.Issuer)
	}
	if err := e.CheckAudience(s.config.Resource, s.config.Federation); err != nil {
		return refuse400(protocol.ErrInvalidAudience, "%v", err)
	}
	keys, err := s.trust.TokenKeys(ctx, e.Issuer, signed.KeyID())
	if err != nil {
		return err
	}
	switch err := signed.Verify(keys, s.config.Now()); {
	case errors.Is(err, protocol.ErrUnknownKey):
		return refuse400(protocol.ErrInvalidKey, "%v", err)
	case errors.Is(err, registry.ErrSignature):
		return refuse400(protocol.ErrAuthenticationFailed, "%v", err)
	case err != nil:
		return refuse400(protocol.ErrInvalidRequest, "%v", err)
	}
	return nil
}

// checkSender refuses what a stopped broker sends, unless it only takes away:
// what a suspended broker revokes must not live again with it.
func (s *Site) checkSender(e *protocol.Event) error {
	err := s.trust.BrokerActive(e.Issuer)
	takesAway := e.TokenRevoked != nil || e.TokensRevoked != nil || e.ClientDisabled != nil
	if err == nil || takesAway && !s.trust.BrokerExpelled(e.Issuer) {
		return nil
	}
	return refuse400(protocol.ErrAccessDenied, "%v", err)
}

// tokenRevoked kills one token, also one that is still to come.
func (s *Site) tokenRevoked(ctx context.Context, id store.Event, t *protocol.TokenRevoked) error {
	expires := min(t.ExpiresAt, s.config.Now().Add(maxTokenLife).Unix())
	err := s.store.Revoke(ctx, id, t.TokenHash, expires)
	if errors.Is(err, registry.ErrConflict) {
		return refuse400(protocol.ErrAccessDenied, "another broker minted this token")
	}
	return err
}

// tokensRevoked kills the broker's tokens of one grant or client up to a time.
func (s *Site) tokensRevoked(ctx context.Context, id store.Event, t *protocol.TokensRevoked) error {
	if t.Cutoff > s.config.Now().Add(registry.MaxCutoffAhead).Unix() {
		return refuse400(protocol.ErrInvalidRequest, "cutoff is too far in the future; do the clocks differ?")
	}
	return s.store.RevokeUpTo(ctx, id, t.Grant, t.ClientID, t.Cutoff)
}

// clientDisabled believes the records in the event, not the event.
func (s *Site) clientDisabled(ctx context.Context, id store.Event, c *protocol.ClientChange) error {
	stops, err := s.trust.Judge(ctx, id.Broker, c.ClientID, c.Records)
	if err != nil {
		return recordsProblem(err)
	}
	if err := s.store.Hear(ctx, id, stops); err != nil {
		return err
	}
	s.pollSoon()
	return nil
}

// clientEnabled lets the next certified list lift the home's suspensions.
func (s *Site) clientEnabled(ctx context.Context, id store.Event, c *protocol.ClientChange) error {
	r, err := s.trust.Reinstatement(ctx, id.Broker, c.ClientID, c.Records)
	if err != nil {
		return recordsProblem(err)
	}
	lifted := store.Lifting{ClientID: c.ClientID}
	if r != nil {
		lifted.Issuer, lifted.Before, lifted.Since = r.Issuer, r.Revocation.Sequence, r.IssuedAt
	}
	if err := s.store.Reinstated(ctx, id, lifted); err != nil {
		return err
	}
	s.pollSoon()
	return nil
}

// recordsProblem tells records that are wrong from what may be tried again.
func recordsProblem(err error) error {
	for _, wrong := range []error{registry.ErrForm, registry.ErrSignature, registry.ErrNotFound, registry.ErrLimit, registry.ErrFork} {
		if errors.Is(err, wrong) {
			return refuse400(protocol.ErrInvalidRequest, "%v", err)
		}
	}
	return err
}

// SPDX-License-Identifier: Apache-2.0

package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/node/notify"
)

// Errors of a Store, beside registry.ErrNotFound.
var (
	// ErrSeen: this one-time identifier was used before.
	ErrSeen = errors.New("used before")
	// ErrNotPending: the token is void, revoked or released already.
	ErrNotPending = errors.New("token is not pending")
	// ErrUnavailable: the store cannot write now, for example because the
	// disk is full; it can still read.
	ErrUnavailable = errors.New("the database cannot write now")
)

// TokenState is where an access token is on its way. The only steps are
// pending to released, void or revoked, and released to revoked.
type TokenState string

// States of an access token. Only a released one opens anything.
const (
	TokenPending  TokenState = "pending"  // minted, not acknowledged by the site
	TokenReleased TokenState = "released" // acknowledged
	TokenVoid     TokenState = "void"     // never acknowledged; was never handed out
	TokenRevoked  TokenState = "revoked"
)

// Token is one access token as it is stored: without its characters.
type Token struct {
	Key       string // see tokenkey.go
	Type      string // Bearer or DPoP
	JKT       string // RFC 7638 thumbprint of the DPoP key, only with DPoP
	ClientID  string
	Home      string // issuer of the client's home broker
	Site      string // resource of the only site that takes it
	Scope     string
	Family    string // what was minted from one code; empty without a grant
	Grant     string // the site's name of the user's consent, or ours after a login here; empty without a grant
	Subject   string // who, as the site knows the person; only after a login here
	Uses      string // protocol.UseOnce, UseWindow, or empty: as often as one likes
	IssuedAt  int64  // seconds since 1970
	ExpiresAt int64  // seconds since 1970
	State     TokenState
	RevokedAt int64  // seconds since 1970; 0: not revoked. Set once.
	Reason    string // why it is void or revoked
}

// Family is everything that was minted from one grant redemption: a chain of
// refresh tokens, of which the newest is good, and their access tokens.
type Family struct {
	ID        string
	ClientID  string
	Home      string
	Site      string
	Grant     string
	Subject   string // as in Token
	Scope     string // of the refresh tokens; access tokens may have less
	JKT       string // the one DPoP key that may refresh; empty: none
	CreatedAt int64  // seconds since 1970
	ExpiresAt int64  // seconds since 1970: no refresh after that
	RevokedAt int64  // seconds since 1970; 0: not revoked. Set once.
	Reason    string
}

// Refresh is one refresh token as it is stored: without its characters.
type Refresh struct {
	Key       string // see tokenkey.go
	Family    string
	IssuedAt  int64 // seconds since 1970
	ExpiresAt int64 // seconds since 1970
	Live      bool  // neither used nor waiting for its release; its family and its time are judged apart
}

// OneTime is a thing that works once, by its key: a code, an assertion that
// is a grant.
type OneTime struct {
	Key       string
	ExpiresAt int64 // when it may be forgotten, seconds since 1970; always the same for one key
}

// Mint is one access token to be, with all that comes and goes with it.
type Mint struct {
	Token   Token    // State is ignored: it becomes pending, or released
	Code    *OneTime // claimed; nil: no code is redeemed
	Rotate  string   // key of the refresh token that is claimed; empty: none
	Family  *Family  // the new family; nil on refresh and without a grant
	Refresh *Refresh // the new refresh token, dead before the release; nil: none
	Proof   *OneTime // jti of a DPoP proof, used in any case that commits; nil: none

	// ReleasedAt, where it is set, says that nobody is asked: the token is
	// released by the mint itself, at that time.
	ReleasedAt time.Time
	// SelfContained says that the token is not to be stored: what m redeems is
	// claimed, as for a token that was released.
	SelfContained bool
}

// MaxTries is how often a code may be redeemed while the site does not answer.
const MaxTries = 3

// ClaimState says why a one-time thing cannot be claimed.
type ClaimState string

// States of a one-time thing that is not to be had.
const (
	ClaimPending ClaimState = "pending" // its redemption is under way
	ClaimUsed    ClaimState = "used"    // it was redeemed and something was released for it
	ClaimSpent   ClaimState = "spent"   // expired, tried too often, refused by the site, or ended before anything was released
)

// ClaimError says that a code or a refresh token cannot be claimed.
type ClaimError struct {
	State  ClaimState
	Family string    // what its redemption gave, when State is ClaimUsed
	UsedAt time.Time // when that was released, when State is ClaimUsed
}

// Error makes it an error.
func (e *ClaimError) Error() string { return fmt.Sprintf("cannot be claimed: %s", e.State) }

// Outcome says what becomes of the claim behind a token that is not released.
type Outcome int

// Outcomes of a mint that failed.
const (
	// Undo: the site did not answer. The same code, at most MaxTries times,
	// or the same refresh token may be tried again.
	Undo Outcome = iota
	// Refused: the site said no. The code stays used, the family ends.
	Refused
)

// Stop says which tokens of one client are dead for good.
type Stop struct {
	ClientID string
	Cutoff   int64  // tokens and families with iat ≤ Cutoff die; 0: none, they are only blocked
	At       int64  // now, seconds since 1970
	Reason   string // recorded with what dies
	Broker   string // issuer of this broker: sites that were connected through it are told
}

// Store keeps tokens. Every method that returns nil has its whole effect on
// disk, and one that returns an error has none. Methods that take messages put
// them into the outbox in the same transaction.
type Store interface {
	Pusher
	Logins
	Devices
	Minter
	Reader
	Revoker
	Keeper
}

// Pusher keeps authorization requests until they are used.
type Pusher interface {
	Push(ctx context.Context, p Pushed) error
	// Pushed returns a request of that client that has not expired, once.
	// registry.ErrNotFound: there is none, or it was returned before.
	Pushed(ctx context.Context, hash, clientID string, now int64) (Pushed, error)
}

// Logins keeps what logins at this broker need.
type Logins interface {
	AddCode(ctx context.Context, c IssuedCode) error
	// Code returns a code whatever has become of it: only Mint can tell, and
	// only once, that it is good. registry.ErrNotFound: there is none.
	Code(ctx context.Context, hash string) (IssuedCode, error)
	// RevokeGrant kills everything that was minted from a grant that was
	// given here, like Revoker.RevokeFamily.
	RevokeGrant(ctx context.Context, grant string, at int64, reason string, message func(Token) notify.Message) error
}

// Minter is the two-phase release.
type Minter interface {
	// Mint claims what m redeems and stores its token, pending. Of any number
	// of concurrent calls with one code or one refresh token, one succeeds;
	// the others get a *ClaimError. ErrSeen: the proof was used before. With
	// ReleasedAt all that Release does is done in the same step.
	Mint(ctx context.Context, m Mint) error
	// Release turns a token from pending to released, now, and with it the code
	// or the refresh token that it was minted for to used, and the new refresh
	// token from dead to live. ErrNotPending: it was not pending, and nothing
	// changed.
	Release(ctx context.Context, key string, now time.Time) error
	// Use notes a use of a released token whose Uses says something, in whole
	// seconds. ErrSeen: it was used as often, or as long, as it may be.
	Use(ctx context.Context, key string, now int64) error
	// Void ends a pending token. When it is not pending, nothing changes and
	// nothing is queued.
	Void(ctx context.Context, key string, o Outcome, at int64, queue ...notify.Message) error
}

// Reader looks up. registry.ErrNotFound: there is no such thing.
type Reader interface {
	Token(ctx context.Context, key string) (Token, error)
	// Refresh returns the refresh token and its family whatever their state:
	// only Mint can tell, and only once, that it is good.
	Refresh(ctx context.Context, key string) (Refresh, Family, error)
}

// Revoker ends what was released. A second revocation changes nothing, not
// even the time of the first, and queues nothing.
type Revoker interface {
	RevokeToken(ctx context.Context, key string, at int64, reason string, queue ...notify.Message) error
	// RevokeSelfContained stores a token that is not stored, as revoked, for as
	// long as it would have lived.
	RevokeSelfContained(ctx context.Context, t Token, at int64, reason string, queue ...notify.Message) error
	// RevokeFamily kills the family and all its tokens that are pending or
	// released and not expired at the time; message makes the event for each.
	RevokeFamily(ctx context.Context, id string, at int64, reason string, message func(Token) notify.Message) error
	// StopClient queues message(site) for each site that holds unexpired
	// tokens, pending or released, of the client, and for each where it was
	// connected and that was not told of this stop, and then kills what stop
	// says. With a nil message nobody is told.
	StopClient(ctx context.Context, stop Stop, message func(site string) notify.Message) (sites int, err error)
	// EnableClient kills what stop says, and queues message(site) for each
	// site that knows the client: it was given tokens that would not be
	// expired by now, or has families, or was told of a stop since the client
	// was connected there. With a nil message nobody is told.
	EnableClient(ctx context.Context, stop Stop, message func(site string) notify.Message) (sites int, err error)
	// StopBroker kills everything of the clients of one home broker; an empty
	// home means everything. Sites are not told: they see the broker in the
	// stop list.
	StopBroker(ctx context.Context, home string, at int64, reason string) error
}

// Keeper is what start and housekeeping need.
type Keeper interface {
	// Claim uses up one identifier. ErrSeen: it was used before.
	Claim(ctx context.Context, id OneTime) error
	// Pending lists tokens that are pending since before the given second.
	Pending(ctx context.Context, before int64) ([]Token, error)
	// Holders lists the clients that have unexpired tokens or families, or were
	// connected somewhere.
	Holders(ctx context.Context, now int64) ([]string, error)
	// Purge forgets what can no longer matter.
	Purge(ctx context.Context, now int64) error
}

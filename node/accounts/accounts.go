// SPDX-License-Identifier: Apache-2.0

// Package accounts knows the people of the organisation that runs the broker:
// who they are, that they have logged in, and what they have allowed apps.
// Sites have users of their own, of whom nothing is here.
//
// A password is kept as an Argon2id hash (RFC 9106) in PHC string form, which
// names its cost, so that a hash of another cost is replaced at the next login:
//
//	$argon2id$v=19$m=65536,t=3,p=1$<salt, base64>$<tag, base64>
//
// A session is 256 random bits in the browser and their SHA-256 here. It ends
// after 8 hours without use, 24 hours after the login, at a logout, and when
// the password changes or the account is disabled or removed.
//
// A grant is one person's consent to one app at one resource. Its id is 128
// random bits that mean nothing elsewhere. An app knows a person by a subject
// that is good for its sector alone (OpenID Connect Core 1.0, section 8.1):
//
//	base64url(HMAC-SHA-256(key, sector || 0x00 || user id))
//
// Whoever asks whether a password is right learns nothing else: an unknown
// name, a disabled account and a wrong password take the same work and give the
// same answer. What guessing costs this broker is bounded too: see limits.go
// for how often, and gate.go for how much at once.
//
// The package trusts its store and its key file.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// Errors beside registry.ErrNotFound, ErrConflict, ErrForm and ErrLimit.
var (
	// ErrCredentials: there is no enabled account of that name with that
	// password. Which of the three is wrong is not to be had.
	ErrCredentials = errors.New("name or password is wrong")
	// ErrNoSession: the browser is not logged in, or not any more.
	ErrNoSession = errors.New("not logged in")
)

// TryAgainError refuses an attempt to log in without having judged it. It is
// the same for names that exist and for others. An answer over HTTP is status
// 429 with After as its Retry-After.
type TryAgainError struct {
	After time.Duration // how long to wait, more than 0
	busy  bool
}

// Error says why and what to do.
func (e *TryAgainError) Error() string {
	seconds := int((e.After + time.Second - 1) / time.Second)
	if e.busy {
		return fmt.Sprintf("too many people log in right now: try again in %d s", seconds)
	}
	return fmt.Sprintf("too many attempts with a wrong password: try again in %d s", seconds)
}

// Bounds of what one person may have.
const (
	// SessionIdle is how long a session lives without being used.
	SessionIdle = 8 * time.Hour
	// SessionLife is how long a session lives in any case.
	SessionLife = 24 * time.Hour
	// MaxSessions is the number of sessions of one person. One more ends the
	// one that was not used for longest.
	MaxSessions = 20
	// MaxGrants is the number of grants of one person.
	MaxGrants = 1000
)

// purgeEvery is how often sessions that have ended are deleted.
const purgeEvery = 10 * time.Minute

// Config is what Accounts need.
type Config struct {
	Store Store
	Key   []byte           // of pairwise subjects, 32 bytes: another key makes everybody a stranger to every app
	Cost  Cost             // of new hashes; default: DefaultCost
	Now   func() time.Time // default: time.Now
	Log   *slog.Logger     // default: none

	// Hashes is how many are computed at once, each with the memory of its
	// cost. Default: one for two processors, which leaves the rest to others.
	Hashes int
}

// Accounts are the people of one broker. It is safe for concurrent use.
type Accounts struct {
	store  Store
	key    []byte
	cost   Cost
	decoy  string // a hash of nothing, compared with where there is no account
	gate   *gate
	limits *limits
	now    func() time.Time
	log    *slog.Logger
}

// New returns the accounts in a store.
func New(cfg Config) (*Accounts, error) {
	if len(cfg.Key) != 32 {
		return nil, fmt.Errorf("the key of pairwise subjects has %d bytes, not 32", len(cfg.Key))
	}
	if cfg.Cost == (Cost{}) {
		cfg.Cost = DefaultCost
	}
	if err := cfg.Cost.check(); err != nil {
		return nil, err
	}
	if cfg.Hashes < 1 {
		cfg.Hashes = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Accounts{
		store: cfg.Store, key: cfg.Key, cost: cfg.Cost, decoy: cfg.Cost.decoy(),
		gate: newGate(cfg.Hashes), limits: newLimits(cfg.Now), now: cfg.Now, log: cfg.Log,
	}, nil
}

// Run deletes ended sessions now and then, until ctx ends.
func (a *Accounts) Run(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.Purge(ctx); err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "housekeeping of sessions failed; it will be tried again", "error", err)
			}
		}
	}
}

// audit logs what an operator must be able to find later.
func (a *Accounts) audit(ctx context.Context, message, event string, u User, more ...any) {
	a.log.InfoContext(ctx, message, slog.Group("audit",
		append([]any{"event", event, "user", u.ID, "name", u.Name}, more...)...))
}

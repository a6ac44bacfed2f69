// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"

	"github.com/comity-network/comity/internal/ratelimit"
	"github.com/comity-network/comity/registry"
)

// Authenticate judges a name and a password that were sent from an address, as
// net/http spells it in RemoteAddr. The error is ErrCredentials, or a
// *TryAgainError when nothing was judged, or a failure of the store. It starts
// no session: see Start.
func (a *Accounts) Authenticate(ctx context.Context, name, password, remote string) (User, error) {
	name, nameErr := parseName(name)
	password, passwordErr := normalise(password)
	if nameErr != nil || passwordErr != nil {
		return User{}, ErrCredentials // no account has such a name, or such a password
	}
	address := ratelimit.AddressKey(remote)
	if wait := a.limits.wait(name, address); wait > 0 {
		return User{}, &TryAgainError{After: wait}
	}
	leave, err := a.gate.enter(ctx, address, a.limits.known(address))
	if err != nil {
		return User{}, err
	}
	defer leave()
	// Those that waited beside this one have been judged since.
	if wait := a.limits.wait(name, address); wait > 0 {
		return User{}, &TryAgainError{After: wait}
	}
	return a.judge(ctx, name, password, address)
}

// judge computes one hash, whoever it is.
func (a *Accounts) judge(ctx context.Context, name, password, address string) (User, error) {
	u, hash, err := a.store.UserByName(ctx, name)
	unknown := errors.Is(err, registry.ErrNotFound)
	if err != nil && !unknown {
		return User{}, err
	}
	if unknown {
		hash = a.decoy
	}
	right, err := matches(hash, password)
	if err != nil {
		return User{}, err
	}
	if !right || unknown || u.Disabled {
		a.limits.failed(name, address)
		// An unknown name is not logged: it may be a password in the wrong field.
		a.audit(ctx, "login failed", "login-failed", u, "remote", address)
		return User{}, ErrCredentials
	}
	a.limits.succeeded(address)
	a.audit(ctx, "logged in", "login", u, "remote", address)
	a.rehash(ctx, u, hash, password)
	return u, nil
}

// rehash brings an old hash to the cost of today. A login does not fail for it.
func (a *Accounts) rehash(ctx context.Context, u User, old, password string) {
	if a.cost.costs(old) {
		return
	}
	if err := a.store.Rehash(ctx, u.ID, old, a.cost.hash(password)); err != nil {
		a.log.WarnContext(ctx, "a password hash of an old cost stays", "user", u.ID, "error", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-network/comity/registry"
)

// StoppedError says what stopped a client, or what was issued to it. It wraps
// registry.ErrRevoked.
type StoppedError struct {
	Reason string // as the record gives it; may be empty
	Until  int64  // when it ends by itself; 0: open
	Final  bool   // it never ends
	text   string
}

func (e *StoppedError) Error() string { return registry.ErrRevoked.Error() + ": " + e.text }
func (e *StoppedError) Unwrap() error { return registry.ErrRevoked }

func stopped(status registry.ClientStatus, reason string, until int64) error {
	e := &StoppedError{reason, until, status != registry.ClientSuspended, "the app is " + string(status)}
	if reason != "" {
		e.text += " (" + reason + ")"
	}
	return e
}

// Err is the *StoppedError of a stop that was heard of.
func (s Stop) Err() error { return stopped(s.Status, s.Reason, s.Until) }

// CutOff is a *StoppedError when what was issued at a second is dead by a cutoff.
func CutOff(issuedAt, cutoff int64) error {
	if issuedAt > cutoff {
		return nil
	}
	return &StoppedError{Final: true, text: fmt.Sprintf("what was issued up to %d is", cutoff)}
}

// Usable judges a client and its home broker by the certified stop list. The
// error wraps registry.ErrRevoked. Stops that were heard of since are the
// caller's to look up, in the same statement as the token.
func (f *Federation) Usable(client, home string) error {
	if home != "" {
		if err := f.BrokerActive(home); err != nil {
			return err
		}
	}
	s := f.now.Load()
	if s.list == nil {
		return f.Fresh()
	}
	if stop, listed := s.list.Client(client); listed {
		return stopped(stop.Status, stop.Reason, stop.Until)
	}
	return nil
}

// Stopped judges a client and its home broker by the certified stop list and
// by the stops that were heard of since. The error wraps registry.ErrRevoked.
func (f *Federation) Stopped(ctx context.Context, client, home string) error {
	if err := f.Usable(client, home); err != nil {
		return err
	}
	heard, err := f.Memory.Heard(ctx, client, f.Now().Unix())
	if err != nil {
		return err
	}
	if len(heard) > 0 {
		return heard[0].Err()
	}
	return nil
}

// Alive judges a token that was issued at a second by broker to a client of
// the home broker. The error wraps registry.ErrRevoked.
func (f *Federation) Alive(broker, client, home string, issuedAt int64) error {
	if err := f.Usable(client, home); err != nil {
		return err
	}
	if broker != home {
		if err := f.BrokerActive(broker); err != nil {
			return err
		}
	}
	return CutOff(issuedAt, f.now.Load().list.Cutoff(client))
}

// Blocked is one stopped client that the site has met.
type Blocked struct {
	Client
	Status string
	Reason string
	Until  int64 // 0: open
}

// Blocked lists the clients that the site has met and that are stopped, by
// name; total is the number of clients in the whole stop list.
func (f *Federation) Blocked(ctx context.Context) (known []Blocked, total int, err error) {
	facts, err := f.Memory.Facts(ctx, KindClient)
	if err != nil {
		return nil, 0, err
	}
	heard, err := f.Memory.Heard(ctx, "", f.Now().Unix())
	if err != nil {
		return nil, 0, err
	}
	for _, fact := range facts {
		b, is, err := f.blocked(fact, heard)
		if err != nil {
			return nil, 0, err
		}
		if is {
			known = append(known, b)
		}
	}
	slices.SortFunc(known, func(a, b Blocked) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	if list := f.now.Load().list; list != nil {
		for _, line := range list.Lines() {
			if strings.HasPrefix(line, "client ") {
				total++
			}
		}
	}
	return known, total, nil
}

// blocked judges one client that the site has met.
func (f *Federation) blocked(fact Fact, heard []Stop) (Blocked, bool, error) {
	c, err := f.Recall(fact)
	if err != nil {
		return Blocked{}, false, err
	}
	if list := f.now.Load().list; list != nil {
		if stop, ok := list.Client(c.ID); ok {
			return Blocked{*c, string(stop.Status), stop.Reason, stop.Until}, true, nil
		}
		if status, ok := list.Broker(c.Home); ok {
			return Blocked{*c, "stopped with its broker", string(status), 0}, true, nil
		}
	}
	for _, stop := range heard {
		if stop.ClientID == c.ID {
			return Blocked{*c, string(stop.Status), stop.Reason, stop.Until}, true, nil
		}
	}
	return Blocked{}, false, nil
}

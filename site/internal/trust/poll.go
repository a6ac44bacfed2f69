// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

const (
	// pollEvery is how often a site asks, when max_age leaves that much time.
	pollEvery = 30 * time.Second
	// retryAfter is how soon it asks again when nobody could help.
	retryAfter = 5 * time.Second
)

// Interval is how long to wait between two polls: 30 s, or a quarter of a
// shorter max_age; less after a failure.
func (f *Federation) Interval() time.Duration {
	s := f.now.Load()
	if s.chain == nil {
		return time.Second
	}
	wait := min(pollEvery, time.Duration(s.chain.Latest().MaxAge)*time.Second/4)
	if f.problem.Load() != nil {
		return min(wait, retryAfter)
	}
	return wait
}

// Poll brings everything up to date. It asks one broker after the other until
// one could prove a recent stop list; an error names what each one lacked.
func (f *Federation) Poll(ctx context.Context) error {
	f.polling.Lock()
	defer f.polling.Unlock()
	var errs []error
	for _, source := range f.sources() {
		err := f.pollFrom(ctx, source)
		if err == nil {
			f.good = source
			f.problem.Store(nil)
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", source, err))
	}
	text := strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
	f.problem.Store(&text)
	return errors.New(text)
}

// pollFrom asks source. When what it says cannot be certified, the reason may
// be a charter that is not known here yet: it is asked for that too, once.
func (f *Federation) pollFrom(ctx context.Context, source string) error {
	err := errors.New("no charter yet")
	if f.now.Load().chain != nil {
		if err = f.refresh(ctx, source); err == nil {
			return nil
		}
	}
	grew, followErr := f.follow(ctx, source)
	switch {
	case followErr != nil:
		return errors.Join(err, followErr)
	case !grew:
		return err
	}
	return f.refresh(ctx, source)
}

// refresh fetches views, and the stop list that they name if it is another
// one, and certifies it.
func (f *Federation) refresh(ctx context.Context, source string) error {
	s := f.now.Load()
	if err := f.fetchViews(ctx, source, s); err != nil {
		return err
	}
	views := f.handfulViews(s)
	list := s.list
	if list == nil || !names(views, list.Hash()) {
		var err error
		if list, err = f.fetchList(ctx, source, s.list); err != nil {
			return err
		}
	}
	now := f.Now()
	c := registry.Certify(s.chain, views, list.Hash(), list.Count(), s.members, quorum(len(s.members)), now)
	if c.At == 0 {
		return fmt.Errorf("views of %d of %d members agree on its stop list, %d needed", c.Have, len(s.members), c.Need)
	}
	if err := f.adopt(ctx, s, list, c); err != nil {
		return err
	}
	// Half of max_age is two missed views: somebody else may know newer ones.
	if age := now.Unix() - c.At; age > s.chain.Latest().MaxAge/2 {
		return fmt.Errorf("its newest views agree %d s ago", age)
	}
	return nil
}

// names reports whether most of the views name the list with that hash, so
// that it need not be fetched.
func names(views []*registry.Record, hash string) bool {
	n := 0
	for _, v := range views {
		if v.View.StopHash == hash {
			n++
		}
	}
	return n > len(views)/2
}

// stopDelta is the answer of /federation/stopped?since= when the hash is known.
type stopDelta struct {
	Since   string   `json:"since"`
	Hash    string   `json:"hash"`
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
}

// fetchList asks source for its stop list, or for the difference to the old
// one. It is believed only by its hash.
func (f *Federation) fetchList(ctx context.Context, source string, old *registry.StopList) (*registry.StopList, error) {
	path := "/federation/stopped"
	if old != nil {
		path += "?since=" + url.QueryEscape(old.Hash())
	}
	a, err := f.get(ctx, source, path, maxDeltaBytes)
	if err != nil {
		return nil, err
	}
	if !a.json {
		return registry.ParseStopList(a.body)
	}
	var d stopDelta
	if err := strictjson.Unmarshal(a.body, &d); err != nil {
		return nil, fmt.Errorf("stop list: %w", err)
	}
	if old == nil || d.Since != old.Hash() {
		return nil, errors.New("stop list: a difference to another list than the one that is here")
	}
	return old.Apply(d.Added, d.Removed)
}

// adopt makes a certified list the present one, unless a newer one is, and
// lets it have its effect on tokens and on stops that were only heard of.
func (f *Federation) adopt(ctx context.Context, s *snapshot, list *registry.StopList, c registry.Certification) error {
	if c.At < s.at || c.At == s.at && s.list != nil {
		return nil
	}
	changed := s.list == nil || s.list.Hash() != list.Hash()
	if err := f.cut(ctx, s, list, c.At); err != nil { // first: what is stored does not count as changed
		return err
	}
	if changed {
		if _, err := f.Memory.Remember(ctx, Fact{f.kind(kindList), current, c.At, string(list.Bytes())}); err != nil {
			return err
		}
	}
	if _, err := f.Memory.Remember(ctx, Fact{f.kind(kindCertified), current, c.At, list.Hash()}); err != nil {
		return err
	}
	next := *s
	next.list, next.agreed = list, c.Have
	f.certified(&next, c.At)
	f.now.Store(&next)
	if changed {
		if err := f.Memory.Kill(ctx, f.Now().Unix(), func(client string) int64 { return deadUpTo(list, client) }); err != nil {
			return err
		}
	}
	return f.lift(ctx, list, c.At)
}

// cut remembers the cutoffs of a list, certified at, that follows s. After a
// pause in which a list could forget one, that may have been of any client; it
// was before all that the list still tells of.
func (f *Federation) cut(ctx context.Context, s *snapshot, list *registry.StopList, at int64) error {
	cutoffs := map[string]int64{}
	if s.list == nil || s.list.Hash() != list.Hash() {
		cutoffs = list.Cutoffs()
	}
	if forgotten := at - int64(registry.ListedFor/time.Second); s.list != nil && s.at <= forgotten {
		cutoffs[""] = forgotten
	}
	return f.Memory.Cut(ctx, cutoffs)
}

// deadUpTo is the second up to which list makes the tokens of client dead for
// good; 0 for none.
func deadUpTo(list *registry.StopList, client string) int64 {
	if stop, ok := list.Client(client); ok && stop.Status == registry.ClientRevoked {
		return math.MaxInt64
	}
	return list.Cutoff(client)
}

// lift ends the heard stops that the list, certified at, does not hold.
func (f *Federation) lift(ctx context.Context, list *registry.StopList, at int64) error {
	now := f.Now().Unix()
	heard, err := f.Memory.Heard(ctx, "", now)
	if err != nil {
		return err
	}
	for _, stop := range heard {
		if _, listed := list.Client(stop.ClientID); listed || stop.LiftAfter > at {
			continue
		}
		if err := f.Memory.Lift(ctx, stop.Record, now); err != nil {
			return err
		}
	}
	return nil
}

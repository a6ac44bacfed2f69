// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/comity-network/comity/federation"
	"github.com/comity-network/comity/registry"
)

// How often an applicant looks what has become of its request: at first
// somebody is waiting, so the pause grows with the time that has passed.
const (
	askSoon    = 200 * time.Millisecond // for ten seconds
	askAgain   = 50 * time.Millisecond  // when there should be an answer by now
	askSlowly  = 5 * time.Second        // after four minutes
	retryAfter = time.Second            // when the other side does not answer
)

// ErrRefused: the federation does not take this broker. The text says why.
var ErrRefused = errors.New("membership refused")

// ApplicantConfig is what an Applicant needs. All of it must be set.
type ApplicantConfig struct {
	Dir     string // data directory
	Joining Joining
	Replica *federation.Replica
	Key     registry.SigningKey // the broker's record key
	Issuer  string
	// Record signs a new broker record into the own log and returns it.
	Record func(ctx context.Context) (*registry.Record, error)
	HTTP   *http.Client // guarded
	Now    func() time.Time
	Log    *slog.Logger
}

// Applicant asks for membership until it is given, refused or withdrawn.
type Applicant struct {
	ApplicantConfig
	contacted chan struct{} // closed when the federation is known, or will never be
	once      sync.Once     // closes contacted

	chain *registry.Chain // of the federation that is asked, verified; Run's alone
	raws  [][]byte        // its charters
	bytes int             // of those

	mu       sync.Mutex
	state    State // of the request, as it was last heard
	trouble  string
	finished bool
	withdraw context.CancelFunc
}

// NewApplicant returns an applicant. Run does the work.
func NewApplicant(cfg ApplicantConfig) *Applicant {
	a := &Applicant{ApplicantConfig: cfg, contacted: make(chan struct{}), state: Waiting}
	if cfg.Joining.Federation != "" {
		a.heard()
	}
	return a
}

func (a *Applicant) heard() { a.once.Do(func() { close(a.contacted) }) }

// Contacted is closed when the id of the federation is known and pinned, or
// when the request was withdrawn.
func (a *Applicant) Contacted() <-chan struct{} { return a.contacted }

// Standing is where an applicant stands.
type Standing struct {
	Joining
	State   State
	Trouble string // what went wrong at the last attempt, if anything did
}

// Standing says where the request stands; waiting is false when it has come to
// its end.
func (a *Applicant) Standing() (s Standing, waiting bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Standing{Joining: a.Joining, State: a.state, Trouble: a.trouble}, !a.finished
}

// String says what the node waits for.
func (s Standing) String() string {
	where := s.Federation
	if where == "" {
		where = "(not known yet)"
	}
	text := fmt.Sprintf("waiting for admission to federation %s", where)
	switch {
	case s.Trouble != "":
		text += ": " + s.Trouble
	case s.State == Proposed:
		text += ": the charter that admits this broker needs more approvals"
	case s.Request != "":
		text += fmt.Sprintf(": the operator of %s has yet to decide (comity federation approve %s)", s.URL, s.Request)
	}
	return text
}

// Withdraw ends the request from this side. The node stays what it was: alone.
func (a *Applicant) Withdraw() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.finished {
		return fmt.Errorf("%w: the request has come to its end already", registry.ErrConflict)
	}
	if err := RemoveJoining(a.Dir); err != nil {
		return err
	}
	a.finished = true
	a.heard()
	if a.withdraw != nil {
		a.withdraw()
	}
	return nil
}

// Run asks until this broker is a member and its replica has adopted the
// charters; it returns true then. It returns false when ctx ends, the request
// was withdrawn, or a broker that stood alone before was refused. The error is
// ErrRefused for any other broker, or of the own disk.
func (a *Applicant) Run(ctx context.Context) (admitted bool, err error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	a.mu.Lock()
	a.withdraw = cancel
	a.mu.Unlock()
	began := a.Now()
	for {
		wait, done, err := a.step(inner)
		if inner.Err() != nil {
			return false, nil
		}
		switch {
		case done:
			return true, a.finish()
		case errors.Is(err, ErrRefused) && !a.Joining.Fresh:
			return false, a.goOn(err)
		case errors.Is(err, ErrRefused):
			return false, err
		case err != nil:
			if s, _ := a.Standing(); s.Trouble != err.Error() { // once, and not every second
				a.Log.Warn("asking for membership, again and again", "of", a.Joining.URL, "error", err)
			}
			wait = retryAfter
		case wait == 0:
			wait = min(max(askSoon, a.Now().Sub(began)/50), askSlowly)
		}
		a.note(err)
		timer := time.NewTimer(wait)
		select {
		case <-inner.Done():
			timer.Stop()
			return false, nil
		case <-timer.C:
		}
	}
}

// goOn ends a request that was refused. A broker that stood alone before goes on
// alone: its clients and sites must not suffer for it.
func (a *Applicant) goOn(why error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finished, a.state, a.trouble = true, Refused, why.Error()
	a.Log.Error("this broker stays in its own federation", "of", a.Joining.URL, "error", why)
	a.heard()
	return RemoveJoining(a.Dir)
}

func (a *Applicant) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trouble = ""; err != nil {
		a.trouble = err.Error()
	}
}

func (a *Applicant) finish() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finished = true
	a.Log.Info("admitted", slog.Group("audit", "event", "membership-admitted",
		"federation", a.Joining.Federation, "charter_version", a.chain.Latest().Version))
	return RemoveJoining(a.Dir)
}

// step goes as far as it can. done: the charters are adopted.
func (a *Applicant) step(ctx context.Context) (wait time.Duration, done bool, err error) {
	if err := a.readCharters(ctx); err != nil {
		return 0, false, err
	}
	newest := a.chain.Latest()
	if admits(&newest.Charter, a.Issuer, a.Key.ID()) {
		err := a.Replica.Adopt(ctx, a.raws)
		return 0, err == nil, err
	}
	if m, ok := a.chain.Member(a.Issuer); ok {
		return 0, false, fmt.Errorf("%w: the charter of federation %s has %s as %s, not with this record key: "+
			"a membership that has ended, or another key, needs another issuer", ErrRefused, a.chain.Federation(), a.Issuer, m.State)
	}
	if a.Joining.Request == "" {
		return 0, false, a.post(ctx)
	}
	answer, err := a.ask(ctx)
	if err != nil {
		return 0, false, err
	}
	a.mu.Lock()
	a.state = answer.State
	a.mu.Unlock()
	switch answer.State {
	case Refused:
		return 0, false, refusal(a.Joining.URL, answer.Reason)
	case Admitted:
		return askAgain, false, nil // the next step reads the charter
	case Proposed:
		return a.countersign(ctx, answer.Charter)
	}
	return 0, false, nil
}

func refusal(by, reason string) error {
	if reason == "" {
		reason = "no reason was given"
	}
	return fmt.Errorf("%w: %s says: %s", ErrRefused, by, reason)
}

// countersign signs the proposal that admits this broker, once it has been
// checked, and sends it back.
func (a *Applicant) countersign(ctx context.Context, raw []byte) (time.Duration, bool, error) {
	p, err := registry.ParseCharter(raw)
	if err != nil {
		return 0, false, fmt.Errorf("the proposed charter: %w", err)
	}
	if p.SignedBy(a.Key.ID()) {
		return 0, false, nil // others have yet to sign
	}
	newest := a.chain.Latest()
	if p.Version != newest.Version+1 || p.Previous != newest.CID {
		return 0, false, nil // there is a newer charter; the proposal will be made again
	}
	if err := a.checkProposal(p); err != nil {
		return 0, false, err
	}
	signed, err := p.AddSignature(a.Key)
	if err != nil {
		return 0, false, err
	}
	if err := a.save(func(j *Joining) { j.Signed, j.SignedVersion = p.CID, p.Version }); err != nil {
		return 0, false, err
	}
	answer, err := a.send(ctx, "/federation/requests/"+a.Joining.Request, "application/jose+json", signed.Raw, http.StatusOK)
	if err != nil {
		return 0, false, err
	}
	a.mu.Lock()
	a.state = answer.State
	a.mu.Unlock()
	return askAgain, false, nil
}

// checkProposal refuses to sign what does not take this broker as it is.
func (a *Applicant) checkProposal(p *registry.SignedCharter) error {
	if a.Joining.SignedVersion == p.Version && a.Joining.Signed != p.CID {
		return fmt.Errorf("%w: this broker has signed charter %s as version %d, and signs no other of that version",
			registry.ErrConflict, a.Joining.Signed, p.Version)
	}
	at := slices.IndexFunc(p.Members, func(m registry.Member) bool { return m.Issuer == a.Issuer })
	if at < 0 || len(p.Members[at].Keys) != 1 || !admits(&p.Charter, a.Issuer, a.Key.ID()) {
		return fmt.Errorf("%w: the proposed charter %s does not list this broker with its key alone", ErrRefused, p.CID)
	}
	if newest := a.chain.Latest(); !about(newest, p, a.Issuer) {
		return fmt.Errorf("%w: the proposed charter %s changes more than it should: %s", ErrRefused, p.CID, describe(newest, p))
	}
	return nil
}

// save changes what is remembered, on disk first.
func (a *Applicant) save(change func(*Joining)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.finished { // withdrawn meanwhile: the file must not come back
		return context.Canceled
	}
	next := a.Joining
	change(&next)
	if err := next.Save(a.Dir); err != nil {
		return err
	}
	a.Joining = next
	return nil
}

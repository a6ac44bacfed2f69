// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"fmt"

	"github.com/comity-network/comity/internal/strictjson"
)

// PollRequest is what a site posts to fetch its events (RFC 8936, section
// 2.4), authenticated by a SiteAssertion.
type PollRequest struct {
	// MaxEvents is how many events the answer may hold; absent: as many as the
	// broker likes; 0: none, the request only acknowledges.
	MaxEvents *int `json:"maxEvents,omitempty"`
	// ReturnImmediately is accepted and has no effect: brokers always answer
	// at once.
	ReturnImmediately bool `json:"returnImmediately,omitempty"`
	// Ack are the jti of events that the site has stored.
	Ack []string `json:"ack,omitempty"`
	// SetErrs are the events that the site refuses, by jti.
	SetErrs map[string]PushError `json:"setErrs,omitempty"`
}

// PollAnswer is the broker's answer (RFC 8936, section 2.5).
type PollAnswer struct {
	Sets          map[string]string `json:"sets"` // signed events by jti
	MoreAvailable bool              `json:"moreAvailable,omitempty"`
}

// ParsePollRequest checks a request. The error wraps registry.ErrForm.
func ParsePollRequest(data []byte) (*PollRequest, error) {
	var r PollRequest
	if err := r.parse(data); err != nil {
		return nil, malformed("poll request", err)
	}
	return &r, nil
}

func (r *PollRequest) parse(data []byte) error {
	if len(data) > MaxPollBytes {
		return fmt.Errorf("more than %d bytes", MaxPollBytes)
	}
	if err := strictjson.Unmarshal(data, r); err != nil {
		return err
	}
	if n := len(r.Ack) + len(r.SetErrs); n > MaxPollEvents {
		return fmt.Errorf("%d acknowledgements and errors, at most %d are allowed", n, MaxPollEvents)
	}
	if r.MaxEvents != nil && *r.MaxEvents < 0 {
		return fmt.Errorf("maxEvents is negative")
	}
	for _, id := range r.Ack {
		if err := checkID("ack", id); err != nil {
			return err
		}
	}
	for id, e := range r.SetErrs {
		if err := checkID("setErrs", id); err != nil {
			return err
		}
		if e.Err == "" || len(e.Err) > maxIDBytes {
			return fmt.Errorf("setErrs: err is missing or too long")
		}
		r.SetErrs[id] = PushError{Err: plain(e.Err), Description: plain(e.Description)}
	}
	return nil
}

// ParsePollAnswer checks the frame of an answer; each event in it still needs
// ParseEvent. The error wraps registry.ErrForm.
func ParsePollAnswer(data []byte) (*PollAnswer, error) {
	var a PollAnswer
	if err := a.parse(data); err != nil {
		return nil, malformed("poll answer", err)
	}
	return &a, nil
}

func (a *PollAnswer) parse(data []byte) error {
	if len(data) > MaxPollBytes {
		return fmt.Errorf("more than %d bytes", MaxPollBytes)
	}
	if err := strictjson.Unmarshal(data, a); err != nil {
		return err
	}
	if len(a.Sets) > MaxPollEvents {
		return fmt.Errorf("%d events, at most %d are allowed", len(a.Sets), MaxPollEvents)
	}
	for id, set := range a.Sets {
		if err := checkID("sets", id); err != nil {
			return err
		}
		if len(set) > MaxEventBytes {
			return fmt.Errorf("an event is longer than %d characters", MaxEventBytes)
		}
	}
	return nil
}

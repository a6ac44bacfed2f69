// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/strictjson"
)

// memberRequest is what the home of a client asks of another member.
type memberRequest struct {
	ClientID  string `json:"client_id"`
	ServerURL string `json:"server_url"`
	Callback  string `json:"callback_url"`
}

// memberReply is the answer: credentials for that client, or an error.
type memberReply struct {
	unprinted
	ClientID string       `json:"client_id"`
	Token    string       `json:"client_token,omitempty"`
	Secret   string       `json:"client_secret,omitempty"`
	Resource string       `json:"resource,omitempty"` // of a site that the member tells of stops
	Error    *memberError `json:"error,omitempty"`
}

type memberError struct {
	Status  int             `json:"status"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Answer serves one request of another member, which asks for a client of its
// own. speaks reports whether the stream is authenticated as a peer of that
// issuer; ctx ends when the asker goes away, and the verifier with it. Nothing
// that the asker says is believed but what it wants: the client's state, its
// home and its callback are looked up here. The credentials are not stored,
// and the reply is for that stream only.
//
// An error means that the request is malformed. Every refusal is a reply.
func (s *Server) Answer(ctx context.Context, speaks func(issuer string) bool, request []byte) ([]byte, error) {
	q, err := parseMemberRequest(request)
	if err != nil {
		return nil, fmt.Errorf("request of a member: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, total, timedOut())
	defer cancel()
	reply := memberReply{ClientID: q.ClientID}
	done, err := s.answer(ctx, speaks, q)
	if err != nil {
		f := s.explain(ctx, err)
		reply.Error = &memberError{f.Status, f.Code, cut(f.Message, maxMessageRunes), f.Data}
	} else {
		reply.Token, reply.Secret = done.open()
		reply.Resource = done.resource
	}
	return json.Marshal(reply)
}

func (s *Server) answer(ctx context.Context, speaks func(issuer string) bool, q memberRequest) (*connected, error) {
	c := call{client: q.ClientID, server: q.ServerURL, callback: q.Callback}
	// This broker's own clients have their own way.
	c.speaks = func(home string) bool { return home != s.cfg.Issuer && speaks(home) }
	done, err := s.connect(ctx, c)
	if err != nil {
		s.refused(ctx, c, err)
	}
	return done, err
}

// parseMemberRequest reads a request: exactly its members, each once, within
// the bounds of the package.
func parseMemberRequest(data []byte) (memberRequest, error) {
	var q memberRequest
	if len(data) > maxRequestBytes {
		return q, fmt.Errorf("more than %d bytes", maxRequestBytes)
	}
	err := strictjson.Unmarshal(data, &q)
	switch {
	case err != nil:
		return q, err
	case !plain(q.ClientID):
		return q, errors.New("client_id is not one")
	case q.ServerURL == "" || len(q.ServerURL) > maxURLBytes || q.Callback == "" || len(q.Callback) > maxURLBytes:
		return q, fmt.Errorf("server_url and callback_url have 1 to %d bytes", maxURLBytes)
	}
	return q, nil
}

// memberCode is what the codes of a member look like: those of sites, which it
// passes on, and our own.
var memberCode = regexp.MustCompile(`^(ba\.|rest_|comity\.)[a-z0-9_.]{1,60}$`)

// given is what came of an exchange with a site.
type given struct {
	credentials
	through  string // issuer of the broker that ran it
	resource string // the site's, when it takes notifications of that broker
}

// parseMemberReply reads what a member answered about the client: credentials,
// or an error that is a *Failure. Anything else is another error.
func parseMemberReply(data []byte, client string) (given, error) {
	var none given
	if len(data) > maxReplyBytes {
		return none, fmt.Errorf("more than %d bytes", maxReplyBytes)
	}
	var r memberReply
	if err := strictjson.Unmarshal(data, &r); err != nil {
		return none, err
	}
	if r.ClientID != client {
		return none, errors.New("it is about another client")
	}
	if r.Error == nil {
		got := given{credentials: newCredentials(r.Token, r.Secret), resource: r.Resource}
		if err := got.check(); err != nil {
			return none, err
		}
		return got, nil
	}
	if r.Token != "" || r.Secret != "" {
		return none, errors.New("credentials beside an error")
	}
	if r.Error.Status < 400 || r.Error.Status > 599 || !memberCode.MatchString(r.Error.Code) {
		return none, errors.New("an error of an unknown kind")
	}
	document, err := json.Marshal(errorDocument{Code: r.Error.Code, Message: r.Error.Message, Data: r.Error.Data})
	if err != nil {
		return none, errors.New("an error that cannot be read")
	}
	f, err := parseError(document)
	if err != nil {
		return none, err
	}
	f.Status = r.Error.Status
	return none, f
}

// ask lets other members try that the site may know: first the one that has
// connected the client there before, then the others, those online first.
func (s *Server) ask(ctx context.Context, c call, found *site) (given, error) {
	members, earlier, err := s.order(ctx, c, found)
	if err != nil {
		return given{}, err
	}
	request, err := json.Marshal(memberRequest{c.client, c.server, c.callback})
	if err != nil {
		return given{}, err
	}
	t := tried{earlier: earlier}
	for _, issuer := range members {
		got, err := s.askOne(ctx, issuer, c.client, request)
		switch {
		case ctx.Err() != nil:
			return given{}, context.Cause(ctx)
		case err == nil:
			if got.through = issuer; got.resource != found.resource() {
				got.resource = "" // a member says nothing about other sites
			}
			return got, nil
		}
		t.note(issuer, err)
	}
	return given{}, t.failure(s.cfg.Issuer)
}

func (s *Server) askOne(ctx context.Context, issuer, client string, request []byte) (given, error) {
	ctx, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	reply, err := s.cfg.Members.Ask(ctx, issuer, request)
	if err != nil {
		s.cfg.Log.InfoContext(ctx, "a member could not be asked", "member", issuer, "error", err)
		return given{}, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	got, err := parseMemberReply(reply, client)
	if f := (*Failure)(nil); err != nil && !errors.As(err, &f) {
		s.cfg.Log.WarnContext(ctx, "a member's answer cannot be used", "member", issuer, "error", err)
	}
	return got, err
}

// order is whom to ask, at most maxAsked, and who among them has connected the
// client there before.
func (s *Server) order(ctx context.Context, c call, found *site) (members []string, earlier string, err error) {
	others := s.cfg.Members.Others()
	known, err := s.cfg.Store.Connections(ctx, c.client)
	if err != nil {
		return nil, "", fmt.Errorf("look up the client's connections: %w", err)
	}
	for _, k := range known {
		if i := slices.Index(others, k.Through); k.Site == found.name() && i >= 0 {
			earlier = k.Through
			others = append([]string{earlier}, slices.Delete(slices.Clone(others), i, i+1)...)
			break
		}
	}
	return others[:min(len(others), maxAsked)], earlier, nil
}

var errUnreachable = errors.New("cannot be reached")

// tried is what members have answered that did not connect.
type tried struct {
	earlier     string   // who has connected the client there before; empty: nobody
	verdict     *Failure // of the first whom the site knows
	unreachable []string
	refused     []string // issuer and why, but for those whom the site does not know
}

func (t *tried) note(issuer string, err error) {
	var f *Failure
	switch {
	case errors.Is(err, errUnreachable):
		t.unreachable = append(t.unreachable, issuer)
	case !errors.As(err, &f):
		t.refused = append(t.refused, issuer+" (its answer cannot be used)")
	case f.Code == codeUnknownBroker:
	case t.verdict == nil && !strings.HasPrefix(f.Code, "comity.") && f.Status < 500:
		t.verdict = f
	default:
		t.refused = append(t.refused, issuer+" ("+f.Code+")")
	}
}

// failure is what the client is told when nobody has connected it.
func (t *tried) failure(issuer string) *Failure {
	if t.verdict != nil {
		return t.verdict
	}
	if t.earlier != "" && slices.Contains(t.unreachable, t.earlier) {
		return unavailable(staleAfter, "the site knows %s, which cannot be reached now; try again", t.earlier).
			with(map[string]any{"unreachable": t.unreachable})
	}
	text := fmt.Sprintf("the site knows neither this broker nor another member of its federation that was asked: its owner adds %s/ to the brokers of the site", issuer)
	if len(t.unreachable) > 0 {
		text += "; not reachable now: " + strings.Join(t.unreachable, ", ")
	}
	if len(t.refused) > 0 {
		text += "; did not help: " + strings.Join(t.refused, ", ")
	}
	f := unknownBroker("%s", text)
	if len(t.unreachable) > 0 {
		f = f.with(map[string]any{"unreachable": t.unreachable})
	}
	return f
}

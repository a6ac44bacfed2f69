// SPDX-License-Identifier: Apache-2.0

package brokered

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/strictjson"
)

// exchange asks a site to connect the client, under this broker's own
// identifier, and returns the credentials once the site has confirmed them and
// has accepted the request: they work only then.
func (s *Server) exchange(ctx context.Context, c call, found *site) (credentials, error) {
	leave, err := s.atSite.enter(ctx, origin(found.endpoint), "connects to this site")
	if err != nil {
		return credentials{}, err
	}
	defer leave()
	verifier, w, end := s.pending.open(ctx, c)
	defer end()
	asking, cancel := context.WithTimeoutCause(ctx, requestTime, timedOut())
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- s.request(asking, found.endpoint.String(), s.connectionRequest(c, verifier)) }()

	var got *credentials
	accepted, early := false, false // early: before the confirm
	var stored <-chan time.Time     // set when the site must have stored
	for got == nil || !accepted || early {
		select {
		case err := <-answered:
			if err != nil {
				return credentials{}, err
			}
			accepted, early = true, !w.claimed.Load()
		case o := <-w.outcome:
			if o.err != nil {
				return credentials{}, o.err
			}
			if got = &o.credentials; early {
				stored = time.After(storeTime)
			}
		case <-stored:
			early = false
		case <-ctx.Done():
			return credentials{}, context.Cause(ctx)
		}
	}
	return *got, nil
}

// connectionRequest is the form that a site shows to its owner. All of it is
// from the signed registration.
func (s *Server) connectionRequest(c call, verifier string) url.Values {
	m := c.metadata()
	return url.Values{
		"client_id":          {c.client},
		"broker":             {s.cfg.Issuer + "/"},
		"verifier":           {verifier},
		"callback_url":       {c.callback},
		"client_name":        {m.Name},
		"client_description": {describe(m)},
		"client_details":     {m.URI},
	}
}

// request posts a connection request. Nil: the site has accepted it.
func (s *Server) request(ctx context.Context, endpoint string, form url.Values) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return siteUnusable("the site's endpoint is not a URL")
	}
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	resp, err := s.requests.Do(r)
	if err != nil {
		return unanswered(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusAccepted {
		return nil
	}
	body, err := guard.ReadLimited(resp.Body, maxAnswerBytes)
	if err != nil && !errors.Is(err, guard.ErrTooLong) {
		return unanswered(ctx, err)
	}
	if f, ok := refusal(resp.StatusCode, body); ok {
		return f
	}
	return siteUnusable("the site answered the connection request with status %d, and no reason that can be read: its owner looks into the site's error log", resp.StatusCode)
}

// unanswered says why a connection request has failed.
func unanswered(ctx context.Context, err error) error {
	var timeout net.Error
	if ctx.Err() == nil && errors.As(err, &timeout) && timeout.Timeout() {
		return timedOut()
	}
	return unreached(ctx, "the site's endpoint for connection requests", err)
}

// siteCode is what the codes of a site look like.
var siteCode = regexp.MustCompile(`^(ba\.|rest_)[a-z0-9_.]{1,60}$`)

// refusal reads the error of a site, which the client is told as it is.
func refusal(status int, body []byte) (*Failure, bool) {
	if status < 400 || status > 499 {
		return nil, false
	}
	f, err := parseError(body)
	if err != nil || !siteCode.MatchString(f.Code) {
		return nil, false
	}
	f.Status = status
	return f, true
}

// parseError reads code, message and data of an error that somebody else wrote.
func parseError(body []byte) (*Failure, error) {
	members, err := strictjson.Object(body, strictjson.Limits{Values: 256, Members: 32})
	if err != nil {
		return nil, err
	}
	f := &Failure{}
	for _, m := range members {
		switch m.Name {
		case "code":
			err = strictjson.Unmarshal(m.Value, &f.Code)
		case "message":
			err = strictjson.Unmarshal(m.Value, &f.Message)
		case "data":
			if len(m.Value) <= maxDataBytes && m.Value[0] == '{' {
				f.Data = []byte(m.Value)
			}
		}
		if err != nil {
			return nil, errors.New("code or message is not a string")
		}
	}
	switch {
	case f.Code == "" || f.Message == "":
		return nil, errors.New("code or message is missing")
	case strings.ContainsFunc(f.Message, unicode.IsControl):
		return nil, errors.New("message has control characters")
	}
	f.Message = cut(f.Message, maxMessageRunes)
	return f, nil
}

// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/comity-network/comity/internal/guard"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

const (
	// maxOverview bounds the document at /federation of a thousand members.
	maxOverview = 1 << 20
	// maxCharters bounds the charters of a federation that is joined, in bytes:
	// whoever founds one can sign versions of it without end.
	maxCharters = 64 << 20
)

// Overview fetches the id of the federation that a broker is in. It is not
// signed: whoever acts on it checks the charter with that CID. The error is
// ErrRefused when that URL is no broker's.
func Overview(ctx context.Context, client *http.Client, issuer string) (federation string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/federation", nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500 {
		return "", fmt.Errorf("%s answers %s", issuer, res.Status)
	}
	body, err := guard.ReadLimited(res.Body, maxOverview)
	if err != nil && !errors.Is(err, guard.ErrTooLong) {
		return "", err
	}
	var o struct {
		Federation string `json:"federation"`
	}
	if res.StatusCode != http.StatusOK || strictjson.Unmarshal(body, &o) != nil || registry.ParseCID(o.Federation) != nil {
		return "", fmt.Errorf("%w: %s names no federation (status %d): give the issuer URL of a broker", ErrRefused, issuer, res.StatusCode)
	}
	return o.Federation, nil
}

// readCharters brings the verified chain up to date, from the member that is
// asked, or from any other where that one is silent.
func (a *Applicant) readCharters(ctx context.Context) error {
	if a.chain == nil {
		return a.contact(ctx)
	}
	sources := []string{a.Joining.URL}
	for _, m := range a.chain.ActiveMembers() {
		if m.Issuer != a.Joining.URL && m.Issuer != a.Issuer {
			sources = append(sources, m.Issuer)
		}
	}
	var failed error
	for _, source := range sources {
		err := a.extend(ctx, source)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// contact reads the first charter, and pins the federation by it.
func (a *Applicant) contact(ctx context.Context) error {
	id := a.Joining.Federation
	if id == "" {
		var err error
		if id, err = Overview(ctx, a.HTTP, a.Joining.URL); err != nil {
			return err
		}
	}
	raw, err := a.charter(ctx, a.Joining.URL, 1)
	if err != nil {
		return err
	}
	first, err := registry.ParseCharter(raw)
	if err != nil {
		return fmt.Errorf("the first charter at %s: %w", a.Joining.URL, err)
	}
	if first.CID != id {
		return fmt.Errorf("%w: %s begins with charter %s, and the federation that this broker asks to join is %s: it has moved to another, or --join names the wrong broker",
			ErrRefused, a.Joining.URL, first.CID, id)
	}
	chain, err := registry.NewChain(first)
	if err != nil {
		return err
	}
	if err := a.save(func(j *Joining) { j.Federation = id }); err != nil {
		return err
	}
	a.chain, a.raws = chain, [][]byte{first.Raw}
	a.heard()
	return a.extend(ctx, a.Joining.URL)
}

// extend reads the versions that follow on the newest known one.
func (a *Applicant) extend(ctx context.Context, source string) error {
	raw, err := a.charter(ctx, source, 0)
	if err != nil {
		return err
	}
	newest, err := registry.ParseCharter(raw)
	if err != nil {
		return fmt.Errorf("the charter at %s: %w", source, err)
	}
	for a.chain.Latest().Version < newest.Version {
		if raw, err = a.charter(ctx, source, a.chain.Latest().Version+1); err != nil {
			return err
		}
		next, err := registry.ParseCharter(raw)
		if err != nil {
			return fmt.Errorf("charter version %d at %s: %w", a.chain.Latest().Version+1, source, err)
		}
		chain, err := a.chain.Extend(next)
		if err != nil {
			return fmt.Errorf("charter version %d at %s: %w", a.chain.Latest().Version+1, source, err)
		}
		if a.bytes += len(next.Raw); a.bytes > maxCharters {
			return fmt.Errorf("%w: the charters of federation %s have more than %d bytes", ErrRefused, chain.Federation(), maxCharters)
		}
		a.chain, a.raws = chain, append(a.raws, next.Raw)
	}
	return nil
}

// charter fetches one version of a charter; 0 is the newest.
func (a *Applicant) charter(ctx context.Context, source string, version int64) ([]byte, error) {
	url := source + "/federation/charter"
	if version > 0 {
		url += "/" + strconv.FormatInt(version, 10)
	}
	raw, _, err := guard.Fetch(ctx, a.HTTP, url, registry.MaxCharterBytes)
	if err != nil {
		return nil, fmt.Errorf("%s does not show its charter: %w", source, err)
	}
	return raw, nil
}

// post asks for membership.
func (a *Applicant) post(ctx context.Context) error {
	record, err := a.Record(ctx)
	if err != nil {
		return err
	}
	answer, err := a.send(ctx, "/federation/requests", "application/jwt", []byte(record.Raw), http.StatusAccepted)
	if err != nil {
		return err
	}
	if answer.ID != record.CID {
		return fmt.Errorf("%s took a request for membership that is not the one of this broker, %s", a.Joining.URL, record.CID)
	}
	a.Log.Info("asked for membership", "of", a.Joining.URL, "federation", a.Joining.Federation, "request", answer.ID)
	return a.save(func(j *Joining) { j.Request = answer.ID })
}

// ask asks where the request stands. A request that is no longer known is made
// again.
func (a *Applicant) ask(ctx context.Context) (Answer, error) {
	url := a.Joining.URL + "/federation/requests/" + a.Joining.Request
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, err
	}
	answer, status, err := a.do(request)
	switch {
	case err != nil:
		return answer, err
	case status == http.StatusNotFound:
		return answer, a.save(func(j *Joining) { j.Request = "" })
	case status != http.StatusOK:
		return answer, fmt.Errorf("%s answered %d: %s", url, status, answer.Reason)
	}
	return answer, answer.check(url)
}

// check refuses what is no answer of a desk.
func (a Answer) check(url string) error {
	switch a.State {
	case Waiting, Approved, Refused, Proposed, Admitted:
		return nil
	}
	return fmt.Errorf("%s says that the request is %.40q, which is no state", url, a.State)
}

// send posts something that is signed. An answer by which the other side will
// stay is ErrRefused.
func (a *Applicant) send(ctx context.Context, path, kind string, body []byte, want int) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Joining.URL+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", kind)
	answer, status, err := a.do(request)
	switch {
	case err != nil:
		return answer, err
	case status == want:
		return answer, answer.check(a.Joining.URL)
	case status == http.StatusNotFound && path != "/federation/requests":
		return answer, a.save(func(j *Joining) { j.Request = "" })
	case status == http.StatusTooManyRequests, status >= 500:
		return answer, fmt.Errorf("%s answered %d: %s", a.Joining.URL, status, answer.Reason)
	}
	return answer, refusal(a.Joining.URL, fmt.Sprintf("%s (status %d)", answer.Reason, status))
}

// do performs an exchange. The description of an error becomes the reason.
func (a *Applicant) do(request *http.Request) (Answer, int, error) {
	res, err := a.HTTP.Do(request)
	if err != nil {
		return Answer{}, 0, err
	}
	defer res.Body.Close()
	body, err := guard.ReadLimited(res.Body, registry.MaxCharterBytes+1024)
	if err != nil {
		return Answer{}, 0, err
	}
	var answer struct {
		Answer
		Description string `json:"error_description"`
	}
	if err := strictjson.Unmarshal(body, &answer); err != nil && res.StatusCode < 300 {
		return Answer{}, 0, fmt.Errorf("%s answers something that is no JSON document", a.Joining.URL)
	}
	if answer.Description != "" {
		answer.Reason = answer.Description
	}
	answer.Reason = printable(answer.Reason)
	return answer.Answer, res.StatusCode, nil
}

// printable is a foreign text for a terminal: one line, not long.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > 2*maxReason {
		text = string(runes[:2*maxReason]) + " …"
	}
	return text
}

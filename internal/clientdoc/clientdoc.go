// SPDX-License-Identifier: Apache-2.0

// Package clientdoc fetches the documents in which clients describe themselves,
// at the URL that is their client_id (OAuth client id metadata documents).
// Brokers and sites do it alike; registry.ParseClientDocument reads them. It
// keeps nothing, and trusts its caller for a guarded HTTP client that follows no
// redirects.
package clientdoc

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/comity-network/comity/internal/guard"
)

// MaxBytes bounds a document, as it does a registration.
const MaxBytes = 16 << 10

// Errors of Fetch.
var (
	// ErrUnreachable: the URL does not answer, or not now.
	ErrUnreachable = errors.New("no answer")
	// ErrNone: what it answers is no document.
	ErrNone = errors.New("no client metadata document")
)

// Fetch gets the document at a client's URL.
func Fetch(ctx context.Context, client *http.Client, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer res.Body.Close()
	switch media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); {
	case res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: status %d", ErrUnreachable, res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: status %d, expected 200 without a redirect", ErrNone, res.StatusCode)
	case media != "application/json" && !strings.HasSuffix(media, "+json"):
		return nil, fmt.Errorf("%w: Content-Type is %.60q, expected application/json", ErrNone, media)
	}
	body, err := guard.ReadLimited(res.Body, MaxBytes)
	if errors.Is(err, guard.ErrTooLong) {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return body, nil
}

// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/comity-network/comity/internal/clientdoc"
	"github.com/comity-network/comity/registry"
)

// describedFor is how long a client's own description counts without being
// fetched again.
const describedFor = 10 * time.Minute

// urlClient returns a client that describes itself, at the URL that is its id.
// The site fetches that itself: nobody else vouches for it, a broker neither.
func (f *Federation) urlClient(ctx context.Context, id string) (*Client, error) {
	if f.Strangers == nil {
		return nil, fmt.Errorf("%w: this site takes no apps that no broker has registered", registry.ErrNotFound)
	}
	if err := f.Stopped(ctx, id, ""); err != nil { // then it is not asked anything
		return nil, err
	}
	fact, err := f.Memory.Fact(ctx, KindClient, id)
	switch {
	case err == nil && f.Now().Unix()-fact.Position < int64(describedFor/time.Second):
		return f.Recall(fact)
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return nil, err
	}
	document, err := clientdoc.Fetch(ctx, f.Strangers, id)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	c, err := parseDocument(id, string(document))
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", id, err)
	}
	value, err := json.Marshal(knownClient{Document: string(document)})
	if err != nil {
		return nil, err
	}
	_, err = f.Memory.Remember(ctx, Fact{KindClient, id, f.Now().Unix(), string(value)})
	return c, err
}

func parseDocument(id, document string) (*Client, error) {
	m, err := registry.ParseClientDocument(id, []byte(document))
	if err != nil {
		return nil, err
	}
	return &Client{ID: id, ClientMetadata: *m}, nil
}

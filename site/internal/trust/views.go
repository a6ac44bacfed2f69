// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/comity-network/comity/internal/jws"
	"github.com/comity-network/comity/internal/strictjson"
	"github.com/comity-network/comity/registry"
)

// statusDocument is the answer of /federation/status.
type statusDocument struct {
	Views       []string                   `json:"views"`
	Checkpoints map[string]json.RawMessage `json:"checkpoints"`
}

// fetchViews asks source for the views of the handful and keeps what is newer
// than what was known.
func (f *Federation) fetchViews(ctx context.Context, source string, s *snapshot) error {
	var keys []string
	for _, issuer := range s.members {
		if key, ok := s.chain.CurrentKey(issuer); ok {
			keys = append(keys, registry.Thumbprint(key))
		}
	}
	var status statusDocument
	path := "/federation/status?members=" + url.QueryEscape(strings.Join(keys, ","))
	if err := f.getJSON(ctx, source, path, maxStatusBytes, &status); err != nil {
		return err
	}
	for _, raw := range status.Views {
		if err := f.keepView(ctx, s.chain, raw); err != nil {
			f.Log.Warn("view refused", "broker", source, "error", err)
		}
	}
	for kid, raw := range status.Checkpoints {
		var note string
		if err := strictjson.Unmarshal(raw, &note); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		if _, err := f.keepCheckpoint(ctx, s.chain, kid, []byte(note)); err != nil && !errors.Is(err, registry.ErrStale) {
			f.Log.Warn("checkpoint refused", "broker", source, "error", err)
		}
	}
	return nil
}

// keepView checks one view and remembers it if it is the newest of its signer.
func (f *Federation) keepView(ctx context.Context, chain *registry.Chain, raw string) error {
	if f.viewWith(raw) {
		return nil
	}
	view, err := registry.ParseRecord([]byte(raw), registry.KindView)
	if err != nil {
		return err
	}
	if err := chain.VerifyView(view); err != nil {
		return err
	}
	if ahead := view.IssuedAt - f.Now().Unix(); ahead > int64(registry.MaxAhead/time.Second) {
		return fmt.Errorf("the clock of %s is %d s ahead of this site's", view.Issuer, ahead)
	}
	if old := f.views[view.Issuer]; old != nil && old.IssuedAt >= view.IssuedAt {
		return nil
	}
	if err := f.checkViewHistory(ctx, view); err != nil {
		return err
	}
	kept, err := f.Memory.Remember(ctx, Fact{f.kind(kindView), view.Issuer, view.IssuedAt, raw})
	if err != nil {
		return err
	}
	if kept.Value != raw { // another process of this site knows a newer one
		if view, err = registry.ParseRecord([]byte(kept.Value), registry.KindView); err != nil {
			return err
		}
		if err := chain.VerifyView(view); err != nil {
			return err
		}
	}
	f.views[view.Issuer] = view
	return nil
}

// checkViewHistory compares the log's root in a view with what was seen.
func (f *Federation) checkViewHistory(ctx context.Context, view *registry.Record) error {
	raw, err := jws.Base64.DecodeString(view.View.LogRoot)
	if err != nil || len(raw) != len(registry.Hash{}) {
		return fmt.Errorf("view of %s: log_root is not a hash", view.Issuer)
	}
	return f.checkHistory(ctx, registry.Origin(view.Issuer), view.View.LogSize, registry.Hash(raw), view.Raw)
}

func (f *Federation) viewWith(raw string) bool {
	for _, v := range f.views {
		if v.Raw == raw {
			return true
		}
	}
	return false
}

// handfulViews are the newest known views of the handful.
func (f *Federation) handfulViews(s *snapshot) []*registry.Record {
	var views []*registry.Record
	for _, issuer := range s.members {
		if v := f.views[issuer]; v != nil {
			views = append(views, v)
		}
	}
	return views
}

// SPDX-License-Identifier: Apache-2.0

package site

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/comity-network/comity/internal/webpage"
	"github.com/comity-network/comity/registry"
)

// ErrDenied: the federation has nothing against the app, but the site's owner
// does not let it in (Config.Apps, Config.Brokers).
var ErrDenied = errors.New("the owner of this site does not let this app in")

// AppRules are the owner's rules about apps. An entry is
//
//   - the client_id of an app: a CID, or, of an app that describes itself, a URL;
//   - the issuer of a broker, for all apps that are registered there;
//   - a host, such as "app.example", for all apps that describe themselves there.
type AppRules struct {
	// Allow, unless it is empty, lets in nobody else.
	Allow []string
	// Deny wins over Allow.
	Deny []string
}

// allBrokers is the key of the rules that hold whichever broker an app comes
// through.
const allBrokers = ""

// checkApps wants every entry to be something that can match: a rule with a
// typing error would let in, or keep out, the wrong apps in silence.
func (c *Config) checkApps() error {
	for _, broker := range slices.Sorted(maps.Keys(c.Apps)) {
		if broker != allBrokers && !slices.Contains(c.Brokers, broker) {
			return fmt.Errorf(`config: Apps[%q]: no such broker in Brokers; rules for all of them have the key ""`, broker)
		}
		rules := c.Apps[broker]
		for _, entry := range slices.Concat(rules.Allow, rules.Deny) {
			if err := checkAppEntry(entry); err != nil {
				return fmt.Errorf("config: Apps[%q]: %w", broker, err)
			}
		}
		for _, entry := range rules.Allow {
			switch {
			case slices.Contains(rules.Deny, entry):
				return fmt.Errorf("config: Apps[%q]: %q is in Allow and in Deny: take it out of one", broker, entry)
			case slices.Contains(c.Apps[allBrokers].Deny, entry):
				return fmt.Errorf("config: Apps[%q]: Allow has %q, which is denied for all brokers: take it out of one", broker, entry)
			}
		}
	}
	return nil
}

func checkAppEntry(entry string) error {
	isURL := strings.Contains(entry, "://")
	switch {
	case registry.CheckClientID(entry) == nil:
		return nil
	case isURL && registry.CheckIssuer(entry) == nil:
		return nil
	case !isURL && isHost(entry):
		return nil
	}
	return fmt.Errorf("%q is neither a client_id nor the issuer of a broker nor a host, in the one spelling of each", entry)
}

// isHost reports whether s can be the host of a client's URL. A name without a
// dot is none: it is a CID with a typing error.
func isHost(s string) bool {
	u, err := url.Parse("https://" + s + "/x")
	return err == nil && u.Host == s && strings.ContainsAny(s, ".:") && registry.IsClientURL("https://"+s+"/x")
}

// appRules are the rules of a Config as they are looked up, by broker.
type appRules map[string]struct{ allow, deny map[string]bool }

func newAppRules(c map[string]AppRules) appRules {
	set := func(entries []string) map[string]bool {
		m := make(map[string]bool, len(entries))
		for _, e := range entries {
			m[e] = true
		}
		return m
	}
	rules := appRules{}
	for broker, r := range c {
		rules[broker] = struct{ allow, deny map[string]bool }{set(r.Allow), set(r.Deny)}
	}
	return rules
}

// judge applies the rules for all brokers and those for the broker through
// which the app comes; both must let it in. home is empty when the app
// describes itself. The error is ErrDenied.
func (a appRules) judge(broker, client, home string) error {
	if len(a) == 0 {
		return nil
	}
	names := [2]string{client, home}
	if home == "" {
		names[1] = webpage.Host(client)
	}
	for _, key := range [2]string{allBrokers, broker} {
		r := a[key]
		if r.deny[names[0]] || r.deny[names[1]] ||
			len(r.allow) > 0 && !r.allow[names[0]] && !r.allow[names[1]] {
			return ErrDenied
		}
	}
	return nil
}

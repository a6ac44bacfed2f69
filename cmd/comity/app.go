// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/comity-network/comity/node/admin"
	"github.com/comity-network/comity/registry"
)

type appCmd struct {
	Register     appRegisterCmd  `cmd:"" help:"Register an app with this broker."`
	Update       appUpdateCmd    `cmd:"" help:"Change an app's registration."`
	RotateSecret appRotateCmd    `cmd:"" help:"Give an app a new secret; the old one ends at once."`
	Show         appShowCmd      `cmd:"" help:"Show any app of the federation: registration, state and why, log position."`
	List         appListCmd      `cmd:"" help:"List apps."`
	Promote      appPromoteCmd   `cmd:"" help:"Register an app that has registered itself at this broker alone."`
	Token        appTokenCmd     `cmd:"" help:"Make a token with which apps register themselves."`
	Tokens       appTokensCmd    `cmd:"" help:"List these tokens."`
	EndToken     appEndTokenCmd  `cmd:"" help:"End one of these tokens."`
	Suspend      appSuspendCmd   `cmd:"" help:"Stop an app for a time, everywhere."`
	Reinstate    appReinstateCmd `cmd:"" help:"End a suspension."`
	Revoke       appRevokeCmd    `cmd:"" help:"Stop an app for good, everywhere."`
}

// metadataFlags are the client metadata (RFC 7591) that have an option.
type metadataFlags struct {
	RedirectURI []string `name:"redirect-uri" placeholder:"U" sep:"none" help:"Where the browser may return to, exactly; repeat for more. https, or http on 127.0.0.1 and [::1]."`
	AuthMethod  string   `name:"auth-method" placeholder:"M" help:"How the app proves itself at the token endpoint: none (with PKCE), private_key_jwt, client_secret_basic or client_secret_post. Default: private_key_jwt where keys are given, else none."`
	JWKS        string   `name:"jwks" type:"existingfile" xor:"keys" placeholder:"FILE" help:"The app's public keys, a JWK set."`
	NewKey      string   `name:"new-key" type:"path" xor:"keys" placeholder:"FILE" help:"Make a new key for the app, write its private half to FILE (0600) and register the public half."`
	GrantType   []string `name:"grant-type" placeholder:"G" help:"Grants that the app uses; repeat for more. Default: authorization_code and refresh_token."`
	Scope       *string  `placeholder:"S" help:"Scopes that the app may ask for, separated by spaces. Default: any that a site offers."`
	URI         *string  `name:"uri" placeholder:"U" help:"The app's home page."`
	Logo        *string  `placeholder:"U" help:"The app's logo."`
	Native      bool     `help:"The app runs on its user's machine: loopback redirect URIs match with any port."`
	From        string   `type:"existingfile" placeholder:"FILE" help:"Start from client metadata in a JSON file (RFC 7591); options win over it."`
}

type appRegisterCmd struct {
	Name          string `placeholder:"N" help:"The name that users see when they are asked for consent."`
	Manage        bool   `help:"Print a token with which the app itself can read, change and end its registration (RFC 7592)."`
	OAuth1        bool   `name:"oauth1" help:"Print a second secret, for sites that speak OAuth 1.0a. This broker keeps it, encrypted."`
	metadataFlags `embed:""`
}

func (appRegisterCmd) Help() string {
	return `The registration is signed, appended to this broker's log and from then on known to every broker and site of the federation. The client_id is the hash of that record: the same everywhere, and nobody can claim it twice. A secret is printed once and stored nowhere.

  comity app register --name "My App" --redirect-uri https://app.example/cb
  comity app register --name "Nightly" --grant-type client_credentials --new-key nightly.jwk
  comity app register --name "Old Server" --redirect-uri https://old.example/cb --auth-method client_secret_basic
  comity app register --name "Blogger" --redirect-uri https://blogger.example/cb --oauth1

What is registered is public and for ever: put nothing about people into it.`
}

func (c appRegisterCmd) Run(e *environment) error {
	metadata, err := c.metadata()
	if err != nil {
		return err
	}
	if c.Name != "" {
		metadata["client_name"] = c.Name
	}
	if metadata["client_name"] == nil {
		return usageError{fmt.Errorf("--name is missing: users are asked for consent under this name")}
	}
	if err := c.keys(metadata); err != nil {
		return err
	}
	defaults(metadata)
	body, err := json.Marshal(metadata)
	if err != nil {
		return err
	}
	var app admin.App
	if err := e.node().Call(e.ctx, "/app/register", admin.AppDraft{Metadata: body, Manage: c.Manage, OAuth1: c.OAuth1}, &app); err != nil {
		return err
	}
	e.warnGrants(app)
	return e.printApp(app)
}

type appUpdateCmd struct {
	ID            string `arg:"" help:"The client_id."`
	Name          string `placeholder:"N" help:"A new name."`
	Compromised   bool   `help:"The keys that are replaced are known to somebody else: end what they opened, everywhere."`
	metadataFlags `embed:""`
}

func (appUpdateCmd) Help() string {
	return `Only what is named changes. A member of the --from file that is null is removed.

  comity app update CLIENT_ID --redirect-uri https://app.example/cb --redirect-uri https://app.example/cb2`
}

func (c appUpdateCmd) Run(e *environment) error {
	metadata, err := c.metadata()
	if err != nil {
		return err
	}
	if c.Name != "" {
		metadata["client_name"] = c.Name
	}
	if err := c.keys(metadata); err != nil {
		return err
	}
	if len(metadata) == 0 && !c.Compromised {
		return usageError{fmt.Errorf("nothing to change: name at least one option")}
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		return err
	}
	var app admin.App
	change := admin.AppChange{ClientID: c.ID, Metadata: body, Compromised: c.Compromised}
	if err := e.node().Call(e.ctx, "/app/update", change, &app); err != nil {
		return err
	}
	e.warnGrants(app)
	return e.printApp(app)
}

// risky says what is wrong with grants that RFC 9700 advises against.
var risky = map[string]string{
	registry.GrantImplicit: "implicit sends access tokens through the browser, where others can read them; use authorization_code with PKCE, or " + registry.GrantOneTimeToken,
	registry.GrantPassword: "password lets the app see people's passwords, and works only at brokers that run with --password-grant; use authorization_code with PKCE",
}

// warnGrants says what the operator should know of the grants of an app.
func (e *environment) warnGrants(app admin.App) {
	var m struct {
		GrantTypes []string `json:"grant_types"`
	}
	if json.Unmarshal(app.Metadata, &m) != nil {
		return // the answer is shown as it is
	}
	for _, grant := range m.GrantTypes {
		if why := risky[grant]; why != "" {
			fmt.Fprintf(e.err, "warning: the grant type %s (RFC 9700)\n", why)
		}
	}
}

type appRotateCmd struct {
	ID          string `arg:"" help:"The client_id."`
	Compromised bool   `xor:"kind" help:"The old secret is known to somebody else: the stop list says so to every site."`
	OAuth1      bool   `name:"oauth1" xor:"kind" help:"The secret for sites that speak OAuth 1.0a, and the first one if there is none yet."`
}

func (c appRotateCmd) Run(e *environment) error {
	var app admin.App
	if err := e.node().Call(e.ctx, "/app/rotate-secret", admin.AppID{ClientID: c.ID, Compromised: c.Compromised, OAuth1: c.OAuth1}, &app); err != nil {
		return err
	}
	return e.printApp(app)
}

type appShowCmd struct {
	ID string `arg:"" help:"The client_id."`
}

func (c appShowCmd) Run(e *environment) error {
	var app admin.App
	if err := e.node().Call(e.ctx, "/app/show", admin.AppID{ClientID: c.ID}, &app); err != nil {
		return err
	}
	return e.printApp(app)
}

type appListCmd struct {
	After string `placeholder:"ID" help:"Begin after this client_id (the list comes in pages)."`
	Limit int    `default:"100" help:"Apps on a page, at most 1000."`
	Local bool   `help:"List the apps that have registered themselves at this broker alone (comity run --open-registration)."`
}

func (c appListCmd) Run(e *environment) error {
	if c.Local {
		return c.local(e)
	}
	var list admin.AppList
	if err := e.node().Call(e.ctx, "/app/list", admin.Page{After: c.After, Limit: c.Limit}, &list); err != nil {
		return err
	}
	return e.print(list, func(w io.Writer) {
		if len(list.Apps) == 0 {
			fmt.Fprintln(w, "no app yet: comity app register --help")
			return
		}
		fmt.Fprintln(w, "CLIENT\tSTATE\tNAME\tHOME")
		for _, a := range list.Apps {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.ClientID, a.State, a.Name, a.Home)
		}
		if list.Next != "" {
			fmt.Fprintf(w, "more: comity app list --after %s\n", list.Next)
		}
	})
}

// printApp shows one client.
func (e *environment) printApp(a admin.App) error {
	return e.print(a, func(w io.Writer) {
		row(w, "client_id", a.ClientID)
		if a.ClientSecret != "" {
			row(w, "client_secret", a.ClientSecret+"   (shown once: store it now)")
		}
		if a.OAuth1Secret != "" {
			row(w, "oauth1_secret", a.OAuth1Secret+"   (shown once: store it now; the consumer key is the client_id)")
		}
		if a.RegistrationToken != "" {
			row(w, "registration_access_token", a.RegistrationToken+"   (shown once: store it now)")
			row(w, "registration_client_uri", a.RegistrationURI)
		}
		row(w, "name", a.Name)
		row(w, "state", a.State)
		row(w, "reason", a.Reason)
		row(w, "since", when(a.Since))
		row(w, "until", when(a.Until))
		row(w, "tokens dead up to", when(a.Cutoff))
		row(w, "home", a.Home)
		row(w, "log", fmt.Sprintf("entry %d, record %d of the client", a.Index, a.Sequence))
		row(w, "acknowledged by", strings.Join(a.Acknowledged, ", "))
		var metadata map[string]json.RawMessage
		if json.Unmarshal(a.Metadata, &metadata) == nil {
			for _, name := range []string{"redirect_uris", "grant_types", "scope", "token_endpoint_auth_method", "client_uri"} {
				row(w, name, string(metadata[name]))
			}
		}
		printConnections(w, a)
	})
}

// printConnections lists the sites at which an app has credentials of its own.
// Once the app is stopped, somebody has to call the owners of those that hear
// of nothing.
func printConnections(w io.Writer, a admin.App) {
	if len(a.Connections) == 0 {
		return
	}
	fmt.Fprintln(w, "\nCONNECTED TO (OAuth 1.0a)\tNAME\tLAST\tTHROUGH\tHEARS OF STOPS")
	for _, c := range a.Connections {
		hears := "no: call its owner"
		if c.Told {
			hears = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Site, orDash(c.Name), when(c.LastAt), c.Through, hears)
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// configFile is the configuration file of `comity run`: TOML, one key for each
// option of the command line, which wins over the file.
type configFile struct {
	Data                  *string  `toml:"data"`
	Issuer                *string  `toml:"issuer"`
	Organisation          *string  `toml:"organisation"`
	Listen                *string  `toml:"listen"`
	P2P                   []string `toml:"p2p"`
	P2PAnnounce           []string `toml:"p2p_announce"`
	Join                  *string  `toml:"join"`
	Store                 *string  `toml:"store"`
	TLSCert               *string  `toml:"tls_cert"`
	TLSKey                *string  `toml:"tls_key"`
	TrustedProxies        []string `toml:"trusted_proxy"`
	Sites                 *string  `toml:"sites"`
	SAMLIDP               []string `toml:"saml_idp"`
	JWTIssuer             []string `toml:"jwt_issuer"`
	PasswordGrant         *bool    `toml:"password_grant"`
	OpenRegistration      *bool    `toml:"open_registration"`
	AllowPrivateAddresses *bool    `toml:"allow_private_addresses"`
}

// configError is a mistake in the configuration file.
type configError struct{ text string }

func (e *configError) Error() string { return e.text }

// loadConfig reads the file strictly: a key that does not exist is an error
// that names it and its line.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	name := "configuration file"
	if f, ok := r.(interface{ Name() string }); ok {
		name = f.Name()
	}
	data, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return nil, &configError{fmt.Sprintf("%s: %v", name, err)}
	}
	var known configFile
	if err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(&known); err != nil {
		return nil, &configError{name + ": " + describe(err)}
	}
	values := map[string]any{}
	if err := toml.Unmarshal(data, &values); err != nil {
		return nil, &configError{name + ": " + describe(err)}
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		return values[strings.ReplaceAll(flag.Name, "-", "_")], nil
	}), nil
}

// describe turns the decoder's error into one line with the place and the key.
func describe(err error) string {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		first := missing.Errors[0]
		line, _ := first.Position()
		return fmt.Sprintf("line %d: unknown key %q; see comity run --help for the options that exist", line, strings.Join(first.Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, column := bad.Position()
		key := strings.Join(bad.Key(), ".")
		if key != "" {
			key = fmt.Sprintf("key %q: ", key)
		}
		return fmt.Sprintf("line %d, column %d: %s%s", line, column, key, strings.TrimPrefix(bad.Error(), "toml: "))
	}
	return err.Error()
}

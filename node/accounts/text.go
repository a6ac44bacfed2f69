// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/comity-network/comity/registry"
)

// Bounds of what a person types.
const (
	maxNameBytes     = 64
	minPasswordBytes = 8
	maxPasswordBytes = 1024
)

// parseName folds a login name to its one spelling: letters of ASCII, in lower
// case, digits and ". _ - + @", beginning with a letter or digit. It is a part
// of what PRECIS allows (RFC 8265, section 3), in which no two names look
// alike by letters of different scripts. For people there is the display name.
func parseName(name string) (string, error) {
	folded := []byte(strings.Trim(name, " "))
	if len(folded) == 0 || len(folded) > maxNameBytes {
		return "", badName(name)
	}
	for i, c := range folded {
		if 'A' <= c && c <= 'Z' { // not strings.ToLower: it makes a k of the Kelvin sign
			c += 'a' - 'A'
			folded[i] = c
		}
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-+@", rune(c))) {
			return "", badName(name)
		}
	}
	return string(folded), nil
}

func badName(name string) error {
	return fmt.Errorf("%w: %.100q cannot be a login name: use 1 to %d of a-z, 0-9 and . _ - + @, a letter or digit first (the display name may have others)",
		registry.ErrForm, name, maxNameBytes)
}

// normalise brings a password into the one form in which it is hashed, Unicode
// normalisation form C: keyboards differ in how they send an ü.
func normalise(password string) (string, error) {
	if len(password) > maxPasswordBytes {
		return "", fmt.Errorf("%w: the password has more than %d bytes: choose a shorter one", registry.ErrForm, maxPasswordBytes)
	}
	if !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		return "", fmt.Errorf("%w: the password holds control characters, or is not UTF-8: type it on a keyboard", registry.ErrForm)
	}
	return norm.NFC.String(password), nil
}

// choosePassword is normalise for a new password of u, which must be long
// enough and not one that is tried first.
func choosePassword(u User, password string) (string, error) {
	password, err := normalise(password)
	if err != nil {
		return "", err
	}
	if len(password) < minPasswordBytes || len(password) > maxPasswordBytes {
		return "", fmt.Errorf("%w: the password has %d bytes: choose one of %d to %d; several words are easy to remember",
			registry.ErrForm, len(password), minPasswordBytes, maxPasswordBytes)
	}
	for _, same := range []string{u.Name, u.DisplayName} {
		if strings.EqualFold(password, same) {
			return "", fmt.Errorf("%w: the password is the person's name, which is tried first: choose another one", registry.ErrForm)
		}
	}
	if strings.Contains(common, " "+strings.ToLower(password)+" ") {
		return "", fmt.Errorf("%w: the password is one of the most common ones, which are tried first: choose another one", registry.ErrForm)
	}
	return password, nil
}

// common are passwords of eight characters and more that every list of guesses
// begins with; shorter ones are refused anyway.
const common = " 12345678 123456789 1234567890 12344321 123123123 11111111 00000000 88888888 87654321 987654321 0987654321 " +
	"password password1 password12 password123 password! passw0rd p@ssw0rd p@ssword pa55word " +
	"qwertyui qwertyuiop qwerty12 qwerty123 qwertz123 qwertzuiop azertyuiop asdfghjk asdfghjkl 1q2w3e4r 1qaz2wsx q1w2e3r4 zaq12wsx " +
	"iloveyou sunshine princess football baseball superman starwars computer internet whatever trustno1 " +
	"welcome1 welcome123 letmein1 letmein123 changeme changeme1 changeme123 abcd1234 abc12345 abcdefgh a1b2c3d4 aa123456 " +
	"admin123 admin1234 administrator default1 testtest test1234 passwort passwort1 hallo123 "

// SPDX-License-Identifier: Apache-2.0

package oldsite

import (
	"slices"
	"strings"
)

// The functions of this file make bodies of a confirm, for
// Behaviour.ConfirmBody, out of the right one. A broker must refuse all but
// those of ExtraMember and AnotherOrder.

// WrongVerifier names a verifier that the broker did not send.
func WrongVerifier(right string) string {
	return replaced(right, "verifier", "00000000000000000000000000000000")
}

// WrongClientID names another client.
func WrongClientID(right string) string { return replaced(right, "client_id", "somebody-else") }

// EmptyToken has an empty client_token.
func EmptyToken(right string) string { return replaced(right, "client_token", "") }

// ControlCharacters has a line break in its client_token.
func ControlCharacters(right string) string { return replaced(right, "client_token", "a%0d%0ab") }

// OversizedSecret has a client_secret of 1 MB.
func OversizedSecret(right string) string {
	return replaced(right, "client_secret", strings.Repeat("x", 1<<20))
}

// MissingSecret has no client_secret.
func MissingSecret(right string) string {
	before, _, _ := strings.Cut(right, "&client_secret=")
	return before
}

// DuplicateMember has a second client_token.
func DuplicateMember(right string) string { return right + "&client_token=another" }

// DuplicateVerifier has two verifiers, of which the second is right.
func DuplicateVerifier(right string) string { return "verifier=another&" + right }

// NotAForm is JSON.
func NotAForm(string) string { return `{"verifier":"x"}` }

// ExtraMember has a member that means nothing.
func ExtraMember(right string) string { return right + "&colour=green" }

// AnotherOrder has the right members from the last to the first.
func AnotherOrder(right string) string {
	members := strings.Split(right, "&")
	slices.Reverse(members)
	return strings.Join(members, "&")
}

// replaced gives the member name of a form another value, which is written as
// it stands.
func replaced(form, name, value string) string {
	members := strings.Split(form, "&")
	for i, member := range members {
		if strings.HasPrefix(member, name+"=") {
			members[i] = name + "=" + value
		}
	}
	return strings.Join(members, "&")
}

// SPDX-License-Identifier: Apache-2.0

package oauth

// TokenKey is tokenKey.
var TokenKey = tokenKey

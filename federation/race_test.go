// SPDX-License-Identifier: Apache-2.0

//go:build race

package federation_test

const raceEnabled = true

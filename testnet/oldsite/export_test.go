// SPDX-License-Identifier: Apache-2.0

package oldsite

// CheckRecording says what is wrong with the text of a recording.
func CheckRecording(text string) error {
	_, err := parseRecording(text)
	return err
}

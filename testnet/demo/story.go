// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Step is one step of the story.
type Step struct {
	Name   string  `json:"name"`
	Millis float64 `json:"ms"`
	Detail string  `json:"detail"` // what was said

	number  int    // in the eleven steps of a login; 0: not one of them
	chapter string // heading before the step
}

// Result is the whole story.
type Result struct {
	Steps []Step `json:"steps"`
	// RevocationMillis is the time from the start of the command that revokes
	// the app to the refusal by the last site.
	RevocationMillis float64 `json:"revocation_ms"`
	OK               bool    `json:"ok"`

	brokers int
}

// Summary is the last word, for a person.
func (r *Result) Summary() string {
	if !r.OK {
		return ""
	}
	brokers := ""
	if r.brokers > 1 {
		brokers = fmt.Sprintf("%d brokers, ", r.brokers)
	}
	return fmt.Sprintf("\n  One registration, "+brokers+"two sites, one revocation: %.0f ms from the command to the last site's refusal.\n", r.RevocationMillis)
}

// story collects steps and stops at the first that fails.
type story struct {
	ctx     context.Context
	report  func(Step)
	result  Result
	number  int    // of the next step
	chapter string // heading before the next step
	err     error
}

// step runs one step; its error becomes the detail and ends the story.
func (s *story) step(name string, do func() (detail string, err error)) {
	if s.err != nil {
		return
	}
	began := time.Now()
	detail, err := do()
	if err == nil {
		err = s.ctx.Err()
	}
	if err != nil {
		s.err = fmt.Errorf("%s: %w", name, err)
		detail = "FAILED: " + err.Error()
	}
	s.tell(name, time.Since(began), detail)
}

// tell adds a step that has happened.
func (s *story) tell(name string, took time.Duration, detail string) {
	step := Step{Name: name, Millis: millis(took), Detail: detail, number: s.number, chapter: s.chapter}
	s.chapter = ""
	if s.number > 0 {
		s.number++
	}
	s.result.Steps = append(s.result.Steps, step)
	if s.report != nil {
		s.report(step)
	}
}

// millis is d in milliseconds, to the hundredth.
func millis(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond)) / 1e6 }

// nameWidth is the width of the longest step name.
const nameWidth = 50

// Printer returns a Report that writes each step on a line: its name, its
// time, and what was said.
func Printer(w io.Writer) func(Step) {
	fmt.Fprint(w, "\nEverything here is real: processes, keys, signatures, disks, HTTP on loopback.\n")
	return func(s Step) {
		if s.chapter != "" {
			fmt.Fprintf(w, "\n%s\n\n", s.chapter)
		}
		number := ""
		if s.number > 0 {
			number = fmt.Sprint(s.number)
		}
		pad := strings.Repeat(" ", max(0, nameWidth-utf8.RuneCountInString(s.Name)))
		fmt.Fprintf(w, "  %2s  %s%s%8s   %s\n", number, s.Name, pad, duration(s.Millis), s.Detail)
	}
}

func duration(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

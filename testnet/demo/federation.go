// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/comity-network/comity/testnet/process"
)

// federate starts the brokers and makes them one federation.
func (s *stage) federate() {
	s.chapter = "The parties: a broker, two sites, an app"
	name := "the broker starts"
	if s.cfg.Brokers > 1 {
		s.chapter = fmt.Sprintf("The parties: %d brokers, two sites, an app", s.cfg.Brokers)
		name = "broker A starts"
	}
	s.step(name, func() (string, error) {
		var err error
		if s.dir, err = os.MkdirTemp("", "comity-demo-"); err != nil {
			return "", err
		}
		if err := s.startBroker(); err != nil {
			return "", err
		}
		broker := s.brokers[0]
		return fmt.Sprintf("%s, process %d, a federation of one", broker.Issuer, broker.PID()), nil
	})
	for i := 1; i < s.cfg.Brokers; i++ {
		s.step("broker "+letter(i)+" asks for membership", func() (string, error) {
			if err := s.startBroker("--join", s.brokers[0].Issuer); err != nil {
				return "", err
			}
			broker := s.brokers[i]
			return fmt.Sprintf("%s, process %d: comity run --join %s", broker.Issuer, broker.PID(), s.brokers[0].Issuer), nil
		})
		s.step("broker "+letter(i)+" is admitted", func() (string, error) {
			approved, err := s.brokers[:i].Admit(s.ctx, s.brokers[i])
			if err != nil {
				return "", err
			}
			letters := make([]string, len(approved))
			for j := range approved {
				letters[j] = letter(j)
			}
			return "comity federation approve, by " + strings.Join(letters, " and "), nil
		})
	}
	if s.cfg.Brokers > 1 {
		s.step("the brokers agree", s.agree)
	}
}

// startBroker starts the next broker.
func (s *stage) startBroker(args ...string) error {
	name := "Demo Broker"
	if s.cfg.Brokers > 1 {
		name += " " + letter(len(s.brokers))
	}
	broker, err := process.Start(s.ctx, process.Config{
		Binary: s.cfg.Binary, Dir: filepath.Join(s.dir, fmt.Sprintf("broker-%d", len(s.brokers)+1)),
		Args: append([]string{"--allow-private-addresses", "--organisation", name}, args...), Log: s.cfg.Log,
	})
	if broker != nil {
		s.brokers = append(s.brokers, broker)
	}
	return err
}

// agree waits until all brokers know the same.
func (s *stage) agree() (string, error) {
	status, err := s.brokers.Agree(s.ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("federation %s, charter version %d, %d members, connected and fresh",
		short(status.Federation), status.CharterVersion, len(status.Members)), nil
}

// spread waits until all brokers know the app.
func (s *stage) spread() (string, error) {
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for _, broker := range s.brokers[1:] {
		for {
			_, err := broker.Run(s.ctx, "app", "show", s.app.client.ClientID)
			if err == nil {
				break
			}
			select {
			case <-every.C:
			case <-s.ctx.Done():
				return "", err
			}
		}
	}
	return "nothing was registered there: they have A's signed record", nil
}

// homeless kills the app's home, and brings it back.
func (s *stage) homeless() {
	s.chapter = "The home is gone, and nobody notices"
	home := s.brokers[0]
	s.step("broker A is killed", func() (string, error) {
		pid := home.PID()
		home.Kill()
		return fmt.Sprintf("SIGKILL to process %d", pid), nil
	})
	s.step("the user logs in again at the first site", func() (string, error) {
		said, err := s.quickLogin(0, "the first site, new token,")
		return fmt.Sprintf("through broker %s: %s", letter(s.viaOf(0)), said), err
	})
	s.step("the app calls the first site with the new token", s.callSite)
	s.step("broker A is back", func() (string, error) {
		if err := home.Restart(s.ctx); err != nil {
			return "", err
		}
		return fmt.Sprintf("process %d, the same directory", home.PID()), nil
	})
	s.step("the others have found it again", s.agree)
}

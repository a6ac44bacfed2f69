// SPDX-License-Identifier: Apache-2.0

package oauth

import "github.com/comity-network/comity/registry"

// newID makes a name of a family or an event.
func (s *Server) newID() string { return registry.OrderedID(s.cfg.Now()) }

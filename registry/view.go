// SPDX-License-Identifier: Apache-2.0

package registry

// View is the body of a view: what one member holds to be true right now.
// Its bytes travel by gossip and are in no log.
type View struct {
	Claims
	Charter   string `json:"charter"`    // CID of the newest charter
	LogSize   int64  `json:"log_size"`   // of the member's own log
	LogRoot   string `json:"log_root"`   // base64url
	StopCount int64  `json:"stop_count"` // lines of its stop list
	StopHash  string `json:"stop_hash"`  // base64url SHA-256 of its stop list
}

// SignView signs a view with k, the record key of the member. An empty jti is
// filled in.
func SignView(k SigningKey, v View) (*Record, error) {
	v.fill()
	body, err := encode(v)
	if err != nil {
		return nil, err
	}
	return sign(k, KindView, body)
}

func parseView(payload []byte) (*View, error) {
	v := new(View)
	fields := append(v.Claims.fields(),
		field{name: "charter", into: &v.Charter, required: true},
		field{name: "log_size", into: &v.LogSize, required: true, zero: true},
		field{name: "log_root", into: &v.LogRoot, required: true},
		field{name: "stop_count", into: &v.StopCount, required: true, zero: true},
		field{name: "stop_hash", into: &v.StopHash, required: true},
	)
	if err := decode(payload, fields, ignore); err != nil {
		return nil, err
	}
	return v, v.check()
}

func (v *View) check() error {
	if err := v.Claims.check(); err != nil {
		return err
	}
	if err := checkCID("charter", v.Charter); err != nil {
		return err
	}
	if err := checkCount("log_size", v.LogSize, MaxLogSize); err != nil {
		return err
	}
	if err := checkDigest("log_root", v.LogRoot); err != nil {
		return err
	}
	if err := checkCount("stop_count", v.StopCount, MaxLogSize); err != nil {
		return err
	}
	return checkDigest("stop_hash", v.StopHash)
}

func checkCount(member string, n, most int64) error {
	switch {
	case n < 0:
		return wrong(classValue, member, "%s is %d: a count is not negative", member, n)
	case n > most:
		return wrong(classLimit, member, "%s is %d, at most %d is allowed", member, n, most)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-network/comity/internal/jws"
)

// Checkpoint is a signed tree head: one broker's statement of its whole log, in
// the format of C2SP tlog-checkpoint. It came out of OpenCheckpoint or
// SignCheckpoint, so its signature is good.
//
//	broker.example/federation/log
//	923748
//	PAb5plclr2BSYfY2ZyyWINQJcx2JpFHXRV/pxK4WeCk=
//
//	— broker.example/federation/log gGYtsUTWU4EKXX+O7pHi+t/PfytGGCWiAVKVmSWQVbdBXfbTIv1Efk5+Kh2AkZ32oXfMk6X2gnedC90puhiR4srnzAg=
//
// Text and signature lines are those of C2SP signed-note; the key name is the
// origin. There are no extension lines. Lines by other keys may follow the
// log's own (cosignatures of witnesses); OpenCheckpoint does not judge them.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
	Raw    []byte // the note, byte for byte
	KeyID  string // thumbprint of the record key that signed it
}

// checkpointKey is the note key of a log: Ed25519 under the name of the origin.
type checkpointKey struct {
	name    string
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil: verifies only
}

// algEd25519 is the signature type of C2SP signed-note for plain Ed25519.
const algEd25519 = 0x01

func (k checkpointKey) Name() string { return k.name }

func (k checkpointKey) KeyHash() uint32 {
	h := sha256.New()
	h.Write([]byte(k.name + "\n"))
	h.Write([]byte{algEd25519})
	h.Write(k.public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// Sign implements note.Signer.
func (k checkpointKey) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.private, msg), nil }

// Verify implements note.Verifier.
func (k checkpointKey) Verify(msg, sig []byte) bool { return ed25519.Verify(k.public, msg, sig) }

// SignCheckpoint signs the head of a log. It fails only for an origin that
// cannot be the name of a key, or a size or root that no log can have.
func SignCheckpoint(k SigningKey, origin string, size int64, root Hash) (*Checkpoint, error) {
	public := k.private.Public().(ed25519.PublicKey)
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
	raw, err := note.Sign(&note.Note{Text: text}, checkpointKey{origin, public, k.private})
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of %q: %w", origin, err)
	}
	return OpenCheckpoint(raw, origin, public)
}

// OpenCheckpoint checks a note against the log's origin and public key. The
// error is ErrForm, ErrLimit or ErrSignature.
func OpenCheckpoint(raw []byte, origin string, pub ed25519.PublicKey) (*Checkpoint, error) {
	if len(raw) > MaxCheckpointBytes {
		return nil, wrong(classSize, "", "checkpoint of %d bytes, at most %d are allowed", len(raw), MaxCheckpointBytes)
	}
	if len(pub) != ed25519.PublicKeySize {
		return nil, badSignature("the key of log %q is not an Ed25519 key", origin)
	}
	opened, err := note.Open(raw, note.VerifierList(checkpointKey{name: origin, public: pub}))
	if err != nil {
		return nil, noteError(origin, err)
	}
	if err := checkNote(opened, raw); err != nil {
		return nil, err
	}
	c, err := parseHead(opened.Text)
	if err != nil {
		return nil, err
	}
	if c.Origin != origin {
		return nil, wrong(classValue, "origin", "checkpoint of log %.200q, expected %q", c.Origin, origin)
	}
	c.Raw = append([]byte(nil), raw...)
	c.KeyID = jws.Thumbprint(pub)
	return c, nil
}

// noteError tells a note that nobody could read from one of another signer.
func noteError(origin string, err error) error {
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	if errors.As(err, &unknown) || errors.As(err, &invalid) {
		return badSignature("the checkpoint has no good signature of log %q: it is of another log, forged or damaged", origin)
	}
	return wrong(classValue, "note", "the checkpoint of log %q is not a signed note", origin)
}

// checkNote closes what note.Open leaves open: it skips repeated lines and the
// stray bits at the end of base64, so one signed head would have many forms.
func checkNote(n *note.Note, raw []byte) error {
	signatures := append(append([]note.Signature(nil), n.Sigs...), n.UnverifiedSigs...)
	if lines := strings.Count(string(raw[len(n.Text):]), "\n") - 1; lines != len(signatures) {
		return wrong("duplicate", "signature", "a signature line of the checkpoint is repeated")
	}
	if len(n.UnverifiedSigs) > MaxCosignatures {
		return wrong(classLimit, "signatures", "%d cosignatures, at most %d are allowed", len(n.UnverifiedSigs), MaxCosignatures)
	}
	for _, s := range signatures {
		if !canonicalBase64(s.Base64) {
			return wrong("base64", "signature", "a signature of the checkpoint is not canonical base64")
		}
	}
	return nil
}

func canonicalBase64(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && base64.StdEncoding.EncodeToString(b) == s
}

// parseHead reads the text of a checkpoint: exactly three lines.
func parseHead(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return nil, wrong(classValue, "text", "the text of the checkpoint is not three lines: origin, size and root")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || size > MaxLogSize || strconv.FormatInt(size, 10) != lines[1] {
		return nil, wrong(classValue, "size", "log size %.40q", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) || !canonicalBase64(lines[2]) {
		return nil, wrong(classValue, "root", "root %.60q is not base64 of 32 bytes", lines[2])
	}
	c := &Checkpoint{Origin: lines[0], Size: size, Root: Hash(root)}
	if size == 0 && c.Root != EmptyRoot() {
		return nil, wrong(classValue, "root", "the root of an empty log is not the hash of nothing")
	}
	return c, nil
}

// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"slices"
)

// The field of edwards25519 and its constant d = -121665/121666 (RFC 8032,
// section 5.1). They are never changed.
var (
	fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	curveD, _  = new(big.Int).SetString("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3", 16)
)

// smallOrder are the points whose order divides the cofactor 8, encoded and
// with the sign bit cleared: orders 4, 1, 2, 8 and 8.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// checkPoint refuses 32 bytes that are not the canonical encoding of a point
// on edwards25519, and points of small order: under such a key one signature
// is valid for many messages (fault 47).
func checkPoint(pub []byte) error {
	encoded := bytes.Clone(pub)
	encoded[31] &= 0x7f // the sign of x
	if slices.Contains(smallOrder, hex.EncodeToString(encoded)) {
		return wrong(classValue, "x", "x is a point of small order, which no honest key is: make a new key")
	}
	slices.Reverse(encoded)
	y := new(big.Int).SetBytes(encoded)
	if y.Cmp(fieldPrime) >= 0 {
		return wrong(classValue, "x", "x is not canonical: the coordinate in it is not below 2^255-19")
	}
	if !onCurve(y) {
		return wrong(classValue, "x", "x is not a point on the curve edwards25519")
	}
	return nil
}

// onCurve reports whether there is an x for y, which is when (y²-1)/(dy²+1) is
// a square, and that is when the product of the two is.
func onCurve(y *big.Int) bool {
	one := big.NewInt(1)
	square := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(square, one)
	v := new(big.Int).Mul(square, curveD)
	v.Add(v, one)
	product := u.Mul(u, v)
	return big.Jacobi(product.Mod(product, fieldPrime), fieldPrime) == 1
}

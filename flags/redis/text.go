// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package redisflags

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // no secret: Redis' scripts have it
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rheostat-go/rheostat/flags"
)

// sealName is the field that says that this package has written the flag. Its
// value is a checksum of 16 hex digits over the text without it, and 16 of chance
// by which a writer knows his own write.
const sealName = "_seal"

const (
	sealHead   = `,"` + sealName + `":"`
	sealTail   = `"}`
	sealDigits = 16
	sealLength = len(sealHead) + 2*sealDigits + len(sealTail)
)

// foreign is added to the versions of flags that somebody else wrote. With the 52 bits
// below it, they are exact in a float64, and no counter comes near.
const foreign = 1 << 52

type sum [sha1.Size]byte

func sumOf(text string) sum { return sha1.Sum([]byte(text)) } //nolint:gosec // see above

// hex is the sum as Redis writes it, and "" where nothing stands.
func (s sum) hex() string {
	if s == (sum{}) {
		return ""
	}
	return hex.EncodeToString(s[:])
}

// standing is what stands under a flag's key.
type standing struct {
	sum   sum         // of the text
	flag  *flags.Flag // the last good form, nil if there was none
	err   error       // why the text is no flag
	lost  bool        // it is not there any more, and nobody deleted it
	nonce string      // of the writer, "" if it was somebody else
	count int64       // the version that the text gives
}

// problem is what is wrong with it, if anything is.
func (st *standing) problem(key string) (flags.Problem, bool) {
	return flags.Problem{Flag: key, Err: st.err}, st.err != nil
}

// read makes a flag of a value.
func (s *Store) read(key string, v value) standing {
	if v.absent {
		return standing{}
	}
	if v.err != nil {
		return standing{err: v.err}
	}
	st := standing{sum: sumOf(v.text)}
	f, err := flags.ParseFlag(key, []byte(v.text))
	if err != nil {
		st.err = err
		return st
	}
	st.flag = f
	if 0 < f.Version && f.Version < foreign {
		st.count = f.Version
	}
	if f.Version == 0 && f.Hash == "" {
		f.Hash = s.o.Hash
	}
	if st.nonce = sealOf(v.text); st.nonce == "" || st.count == 0 {
		f.Version = foreignVersion(v.text)
	}
	delete(f.Extra, sealName)
	if len(f.Extra) == 0 {
		f.Extra = nil
	}
	return st
}

func foreignVersion(text string) int64 {
	n, err := strconv.ParseInt(sumOf(text).hex()[:13], 16, 64)
	if err != nil {
		panic("BUG: redisflags: " + err.Error())
	}
	return foreign | n
}

// sealOf is the nonce of a text whose seal is whole, or "".
func sealOf(text string) string {
	cut := len(text) - sealLength
	if cut < 0 || !strings.HasPrefix(text[cut:], sealHead) || !strings.HasSuffix(text, sealTail) {
		return ""
	}
	digits := text[cut+len(sealHead) : len(text)-len(sealTail)]
	if sumOf(text[:cut] + "}").hex()[:sealDigits] != digits[:sealDigits] {
		return ""
	}
	return digits[sealDigits:]
}

// body is the flag's JSON without the brace that opens it, without its version and without
// what the key says already. The script puts the version before it and the seal behind.
func body(f *flags.Flag) (string, error) {
	f = f.Clone()
	f.Key, f.Version = "", 0
	delete(f.Extra, sealName)
	text, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	return string(bytes.TrimPrefix(text, []byte("{"))), nil
}

// newNonce is sealDigits of chance.
func newNonce() string {
	var b [sealDigits / 2]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// groups are the fields of a document that have a key each.
var groups = [...]string{"segments", "layers", "holdouts"}

// readGroup reads one of them.
func readGroup(field string, v value) (flags.Document, []flags.Problem) {
	if v.err != nil {
		return flags.Document{}, []flags.Problem{{Path: field, Err: v.err}}
	}
	if !json.Valid([]byte(v.text)) {
		return flags.Document{}, []flags.Problem{{Path: field, Err: errors.New("is no JSON")}}
	}
	doc, err := flags.ParseDocument([]byte(`{"flags":{},"` + field + `":` + v.text + `}`))
	if err != nil {
		return flags.Document{}, []flags.Problem{{Path: field, Err: fmt.Errorf("cannot be read: %w", err)}}
	}
	return doc, doc.Problems
}

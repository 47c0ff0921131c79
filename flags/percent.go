// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"fmt"
	"math"
	"strconv"
)

// Percent is a part of all units in thousandths of a percent: 12,500 is 12.5 %,
// and Everybody is 100 %. In JSON it is the number 12.5.
type Percent uint32

// Everybody is 100 %.
const Everybody Percent = 100_000

// PercentOf is p percent, rounded to a thousandth. Anything that is not between
// 0 and 100 is an error; a part that is not 0 stays so.
func PercentOf(p float64) (Percent, error) {
	if !(p >= 0 && p <= 100) {
		return 0, fmt.Errorf("flags: %v is not between 0 and 100 percent", p)
	}
	n := Percent(math.Round(p * 1000))
	if n == 0 && p > 0 {
		n = 1
	}
	return n, nil
}

// Float is the number of percent, from 0 to 100.
func (p Percent) Float() float64 { return float64(p) / 1000 }

// String writes 12500 as 12.5%.
func (p Percent) String() string {
	return strconv.FormatFloat(p.Float(), 'f', -1, 64) + "%"
}

// MarshalJSON writes the number of percent.
func (p Percent) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, p.Float(), 'f', -1, 64), nil
}

// UnmarshalJSON reads the number of percent.
func (p *Percent) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return fmt.Errorf("%s is no number of percent", b)
	}
	read, err := PercentOf(n)
	if err != nil {
		return err
	}
	*p = read
	return nil
}

// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Weight is a share of traffic in parts per million. It is an integer, so two
// weights are equal exactly when they look equal; the zero Weight is nothing.
type Weight uint32

// Full is all of the traffic.
const Full Weight = 1_000_000

// Percent is p per cent as a Weight, to the nearest part per million. A value
// above zero never becomes 0 and one below 100 never becomes Full. A value
// outside 0 to 100, or NaN, gives a Weight that is not Valid, so that
// validation refuses it with its place in the plan instead of a panic here.
func Percent(p float64) Weight {
	if math.IsNaN(p) || p < 0 || p > 100 {
		return math.MaxUint32
	}
	w := Weight(math.Round(p * float64(Full) / 100))
	switch {
	case w == 0 && p > 0:
		return 1
	case w == Full && p < 100:
		return Full - 1
	}
	return w
}

// Valid reports whether w is between 0 and Full.
func (w Weight) Valid() bool { return w <= Full }

// String is the weight in per cent with as many decimals as it needs: "25%", "0.5%".
func (w Weight) String() string {
	if !w.Valid() {
		return fmt.Sprintf("invalid(%d ppm)", uint32(w))
	}
	whole, rest := w/10_000, w%10_000
	if rest == 0 {
		return strconv.Itoa(int(whole)) + "%"
	}
	return strconv.Itoa(int(whole)) + "." + strings.TrimRight(fmt.Sprintf("%04d", rest), "0") + "%"
}

// ParseWeight reads what String writes. The number may have up to four
// decimals, the resolution of a Weight; more is an error rather than a rounding.
func ParseWeight(s string) (Weight, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !ok {
		return 0, fmt.Errorf("traffic: weight %q: want a percentage such as \"25%%\" or \"0.5%%\"", s)
	}
	whole, decimals, point := strings.Cut(number, ".")
	if point && decimals == "" {
		return 0, fmt.Errorf("traffic: weight %q: want digits after the point", s)
	}
	if len(decimals) > 4 {
		return 0, fmt.Errorf("traffic: weight %q: at most four decimals (parts per million)", s)
	}
	ppm, err := strconv.ParseUint(whole+decimals+strings.Repeat("0", 4-len(decimals)), 10, 32)
	if err != nil || whole == "" || Weight(ppm) > Full {
		return 0, fmt.Errorf("traffic: weight %q: want 0%% to 100%%", s)
	}
	return Weight(ppm), nil
}

// MarshalText writes the weight as String does.
func (w Weight) MarshalText() ([]byte, error) {
	if !w.Valid() {
		return nil, fmt.Errorf("traffic: weight of %d parts per million: want 0 to %d", uint32(w), uint32(Full))
	}
	return []byte(w.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (w *Weight) UnmarshalText(text []byte) error {
	parsed, err := ParseWeight(string(text))
	if err != nil {
		return err
	}
	*w = parsed
	return nil
}

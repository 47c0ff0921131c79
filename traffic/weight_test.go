// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/rheostat-go/rheostat/traffic"
)

func TestAPercentageBecomesTheNearestWeight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		percent float64
		want    traffic.Weight
	}{
		{0, 0},
		{1, 10_000},
		{5, 50_000},
		{12.5, 125_000},
		{100, traffic.Full},
		{0.0001, 1},
		{0.00016, 2},
		{0.1 + 0.2, 3000},
		{1e-9, 1},                          // something never becomes nothing
		{math.SmallestNonzeroFloat64, 1},   // however little
		{99.99999, traffic.Full - 1},       // a part never becomes the whole
		{math.Nextafter(100, 0), 999_999},  // however much
		{math.Copysign(0, -1), 0},          // minus zero is zero
		{-1e-9, math.MaxUint32},            // outside is not valid
		{100.0000001, math.MaxUint32},      // on either side
		{math.NaN(), math.MaxUint32},       // nor is what is no number
		{math.Inf(1), math.MaxUint32},      //
		{math.Inf(-1), math.MaxUint32},     //
		{math.MaxFloat64, math.MaxUint32},  //
		{-math.MaxFloat64, math.MaxUint32}, //
	} {
		if got := traffic.Percent(tt.percent); got != tt.want {
			t.Errorf("Percent(%v) = %d, want %d", tt.percent, got, tt.want)
		}
	}
}

func TestAWeightIsWrittenInPercent(t *testing.T) {
	t.Parallel()
	for w, want := range map[traffic.Weight]string{
		0:                "0%",
		1:                "0.0001%",
		10:               "0.001%",
		5_000:            "0.5%",
		10_000:           "1%",
		125_000:          "12.5%",
		999_999:          "99.9999%",
		traffic.Full:     "100%",
		traffic.Full + 1: "invalid(1000001 ppm)",
	} {
		if got := w.String(); got != want {
			t.Errorf("%d is written %q, want %q", uint32(w), got, want)
		}
	}
}

func TestWhatIsNoWeightIsNotRead(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                            "want a percentage",
		"5":                           "want a percentage",
		"0.05":                        "want a percentage",
		"%":                           "want 0% to 100%",
		".5%":                         "want 0% to 100%",
		"5.%":                         "digits after the point",
		"5,5%":                        "want 0% to 100%",
		"-1%":                         "want 0% to 100%",
		"+1%":                         "want 0% to 100%",
		"-0%":                         "want 0% to 100%",
		"1e1%":                        "want 0% to 100%",
		"1_0%":                        "want 0% to 100%",
		"0x1%":                        "want 0% to 100%",
		"5 %":                         "want 0% to 100%",
		"5%%":                         "want 0% to 100%",
		"1.2.3%":                      "want 0% to 100%",
		"100.0001%":                   "want 0% to 100%",
		"101%":                        "want 0% to 100%",
		"429496.7297%":                "want 0% to 100%", // 2^32 + 1 parts per million
		"99999999999999999999999999%": "want 0% to 100%",
		"0.00001%":                    "at most four decimals",
		"NaN%":                        "want 0% to 100%",
	} {
		w, err := traffic.ParseWeight(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("ParseWeight(%q) = %v, %v, want an error with %q", text, w, err, says)
		}
	}
	if w, err := traffic.ParseWeight(" 05.50% "); err != nil || w != 55_000 {
		t.Errorf("ParseWeight with spaces and zeros around: %v, %v, want 5.5%%", w, err)
	}
}

func TestAWeightSurvivesJSON(t *testing.T) {
	t.Parallel()
	for _, w := range []traffic.Weight{0, 1, 50_000, traffic.Full} {
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		var got traffic.Weight
		if err := json.Unmarshal(text, &got); err != nil || got != w {
			t.Errorf("%s was read as %v, %v, want %v", text, got, err, w)
		}
	}
	if _, err := json.Marshal(traffic.Full + 1); err == nil {
		t.Error("a weight above the whole was written")
	}
	w := traffic.Weight(7)
	if err := json.Unmarshal([]byte(`"lots"`), &w); err == nil || w != 7 {
		t.Errorf("after an error the weight is %v, want it as it was", w)
	}
}

func FuzzParseWeight(f *testing.F) {
	for _, s := range []string{"0%", "100%", "0.0001%", " 5% ", "5.%", "-1%", "1e3%", "99.9999%", "429496.7296%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := traffic.ParseWeight(s)
		if err != nil {
			return
		}
		if !w.Valid() {
			t.Fatalf("%q was read as %v", s, w)
		}
		again, err := traffic.ParseWeight(w.String())
		if err != nil || again != w {
			t.Fatalf("%q was read as %v, and that as %v, %v", s, w, again, err)
		}
		nonZero := strings.ContainsAny(s, "123456789")
		if nonZero != (w > 0) {
			t.Fatalf("%q was read as %v", s, w)
		}
	})
}

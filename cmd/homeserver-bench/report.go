package main

import (
	"encoding/json"
	"math"
)

// Unit says what a figure counts.
type Unit string

// The units of figures.
const (
	PerSecond Unit = "per second"
	Micros    Unit = "µs"
	Bytes     Unit = "bytes"
	Events    Unit = "events"
)

// Report is what one run has measured.
type Report struct {
	Machine  Machine   `json:"machine"`
	Families []*Family `json:"families"`
}

// Machine is where it was measured.
type Machine struct {
	Processors int    `json:"processors"`
	System     string `json:"system"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	// Load is how many processes wanted a processor before the run, on average.
	Load float64 `json:"load"`
	// Quick says that the sizes were those of a test, whose figures mean nothing.
	Quick bool `json:"quick"`
}

// Family is what was measured of one ability of the server.
type Family struct {
	Name string `json:"name"`
	// Ceiling says what the ceilings of the family are.
	Ceiling string `json:"ceiling"`
	Cases   []Case `json:"cases"`
}

// Case is one thing that was measured, in one or more figures.
type Case struct {
	Name    string   `json:"name"`
	Figures []Figure `json:"figures"`
}

// Figure is one measured value with its ceiling, both in the unit. A ceiling of 0
// is none.
type Figure struct {
	Name     string
	Unit     Unit
	Measured float64
	Ceiling  float64
}

// Ratio is what was measured in parts of the ceiling; false where there is no
// ceiling.
func (f Figure) Ratio() (float64, bool) {
	if f.Ceiling == 0 {
		return 0, false
	}
	return f.Measured / f.Ceiling, true
}

// MarshalJSON writes the figure with its ratio, each to a thousandth.
func (f Figure) MarshalJSON() ([]byte, error) {
	out := struct {
		Name     string   `json:"name"`
		Unit     Unit     `json:"unit"`
		Measured float64  `json:"measured"`
		Ceiling  *float64 `json:"ceiling,omitempty"`
		Ratio    *float64 `json:"ratio,omitempty"`
	}{Name: f.Name, Unit: f.Unit, Measured: round(f.Measured)}
	if ratio, ok := f.Ratio(); ok {
		ceiling, ratio := round(f.Ceiling), round(ratio)
		out.Ceiling, out.Ratio = &ceiling, &ratio
	}
	return json.Marshal(out)
}

func round(v float64) float64 {
	const thousand = 1000
	return math.Round(v*thousand) / thousand
}

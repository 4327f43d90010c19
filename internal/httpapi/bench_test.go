package httpapi

import (
	"testing"
)

// BenchmarkDecode is the cost of a small body.
func BenchmarkDecode(b *testing.B) {
	const body = `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"example"},"password":"wordpass"}`
	x := &exchange{body: []byte(body)}
	request := &Request{x: x}
	b.ReportAllocs()
	for b.Loop() {
		var into struct {
			Type       string `json:"type"`
			Identifier struct {
				User string `json:"user"`
			} `json:"identifier"`
			Password string `json:"password"`
		}
		if err := request.Decode(&into); err != nil {
			b.Fatal(err)
		}
	}
}

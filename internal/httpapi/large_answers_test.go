package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"homeserver/internal/matrixtest"
)

// TestLargeAnswersThatNobodyReadsAreBounded asks for large answers without reading
// them, from several addresses, until there are too many.
func TestLargeAnswersThatNobodyReadsAreBounded(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	const size = 8 << 20 // more than what the system takes on the way
	const most = 100 << 20
	b := newBench(t, Options{AnswerTimeout: time.Minute, Bounds: Bounds{AnswerBytes: most}})
	large := json.RawMessage(`"` + strings.Repeat("a", size) + `"`)
	c := b.serve(t,
		get("/large", func(r *Request) (any, error) {
			user := r.URL.Query().Get("user")
			r.x.user, r.x.account = user, b.bounds.answers.Open(user)
			return large, nil
		}),
		get("/small", ok))
	hold := func(user string) io.Closer {
		conn := dial(t, c)
		if _, err := io.WriteString(conn, "GET /large?user="+user+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // the answer has begun
			t.Fatal(err)
		}
		return conn
	}
	ask := func(user string) *matrixtest.Response { return c.Do("GET", "/large?user="+user, nil) }

	first := hold("alice")
	one := b.bounds.answers.Held()
	for b.bounds.answers.Held()+one <= most/4 {
		hold("alice")
	}
	ask("alice").Refused(503, "M_UNKNOWN")
	ask("bob").OK()
	for i := 0; b.bounds.answers.Held()+one <= most; i++ {
		hold(fmt.Sprint("user", i))
	}
	answer := ask("zoe").Refused(503, "M_UNKNOWN")
	if answer.Header.Get("Retry-After") == "" {
		t.Error("nobody is told when to come again")
	}
	c.Do("GET", "/small", nil).OK()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b.log.Wait(t, "answer not sent")
	matrixtest.Until(t, "the memory of an answer that is gone counts no more", func() bool { return ask("zoe").Status == http.StatusOK })
}

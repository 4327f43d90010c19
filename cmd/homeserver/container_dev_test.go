package main

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// devImage returns the instructions of the image for tests of clients and bots.
func devImage(t *testing.T) []instruction {
	t.Helper()
	for _, stage := range stages(t) {
		if strings.HasSuffix(stage[0].args, " AS dev") {
			return stage
		}
	}
	t.Fatal("there is no stage dev")
	return nil
}

// entryPoint returns the words that the image runs.
func entryPoint(t *testing.T, stage []instruction) []string {
	t.Helper()
	var words []string
	if entry := only(stage, "ENTRYPOINT"); len(entry) != 1 || json.Unmarshal([]byte(entry[0]), &words) != nil || len(words) < 2 {
		t.Fatalf("the entry point is %v", entry)
	}
	return words
}

func TestDevImageHasTheProgramAndPostgreSQL(t *testing.T) {
	t.Parallel()
	stage := devImage(t)
	words := entryPoint(t, stage)
	if got := only(stage, "COPY"); !slices.Equal(got, []string{"--from=build /out/homeserver " + words[0]}) {
		t.Errorf("nothing else is needed: %v", got)
	}
	if got := only(image(t), "HEALTHCHECK"); !slices.Equal(got, only(stage, "HEALTHCHECK")) {
		t.Errorf("it is healthy otherwise than the other image: %v", got)
	}
	if got := only(image(t), "EXPOSE"); !slices.Equal(got, only(stage, "EXPOSE")) {
		t.Errorf("it has other ports than the other image: %v", got)
	}
	if got := only(stage, "USER"); !slices.Equal(got, []string{"postgres"}) {
		t.Errorf("runs as %v", got)
	}
	// It is that of compose, which starts the same server.
	if got, want := stage[0].args, readCompose(t).Services["postgres"].Image+" AS dev"; got != want {
		t.Errorf("it is made from %s, want %s", got, want)
	}
}

// The entry point is run as it is, but for the ports, and asked as other containers ask.
func TestDevImageIsControlledFromOutside(t *testing.T) {
	t.Parallel()
	words := entryPoint(t, devImage(t))
	var ports []string
	for i, word := range words {
		if at := strings.LastIndex(word, ":"); at >= 0 {
			ports = append(ports, word[at+1:])
			words[i] = word[:at] + ":0"
		}
	}
	if got := only(devImage(t), "EXPOSE"); !slices.Equal(got, []string{strings.Join(ports, " ")}) {
		t.Errorf("exposes %v, listens on %v", got, ports)
	}
	d := startWords(t, words[1:]...)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(d.BaseURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	outside := "http://" + net.JoinHostPort(ownAddress(t), port)
	matrixtest.At(t, outside, http.DefaultClient).Do("GET", controlRequests, nil).OK()

	closed := startWords(t, slices.DeleteFunc(words, func(word string) bool { return word == "--control-from-network" })[1:]...)
	_, port, err = net.SplitHostPort(strings.TrimPrefix(closed.BaseURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	outside = "http://" + net.JoinHostPort(ownAddress(t), port)
	matrixtest.At(t, outside, http.DefaultClient).Do("GET", controlRequests, nil).Refused(http.StatusForbidden, "M_FORBIDDEN")
}

// startWords starts a development server by all words of its command line, but for the ready file.
func startWords(t *testing.T, words ...string) *devProcess {
	t.Helper()
	return startDev(t, `while [ "$1" != --ready-file ]; do shift; done; exec "$0" `+strings.Join(words, " ")+` "$@"`)
}

// ownAddress returns an address of this machine that others could reach.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

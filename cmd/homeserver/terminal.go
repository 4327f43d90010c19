package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPasswordFile bounds what is read as a password.
const maxPasswordFile = 64 << 10

// isTerminal reports whether a person is at the other end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readPassword gets a password from the file, from standard input, or from a person. It never comes from
// the command line, which other users of the machine can see.
func (a *app) readPassword(file string) (string, error) {
	switch {
	case file != "" && file != "-":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		password, err := passwordFrom(f)
		return password, errors.Join(err, f.Close())
	case file == "" && isTerminal(a.stdin):
		return a.askPassword(a.stdin.(*os.File))
	default:
		return passwordFrom(a.stdin)
	}
}

// passwordFrom reads everything up to the end of the line that ends the file.
func passwordFrom(r io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxPasswordFile))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", errors.New("the password is empty")
	}
	return password, nil
}

// askPassword asks a person twice.
func (a *app) askPassword(tty *os.File) (string, error) {
	ask := func(prompt string) (string, error) {
		a.print(a.stderr, prompt)
		answer, err := term.ReadPassword(int(tty.Fd()))
		a.print(a.stderr, "\n")
		if err != nil {
			return "", fmt.Errorf("ask for the password: %w", err)
		}
		return string(answer), nil
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", errors.New("the password is empty")
	}
	second, err := ask("Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ")
	}
	return first, nil
}

// confirm asks a person, and fails where there is none.
func (a *app) confirm(question string) error {
	if !isTerminal(a.stdin) {
		return usagef("this cannot be undone, and nobody is there to ask: add --yes")
	}
	a.print(a.stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("ask for a confirmation: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("not confirmed: nothing was done")
	}
	return nil
}

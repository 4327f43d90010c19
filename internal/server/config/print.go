package config

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// Print writes the effective configuration as YAML: every key, with "auto" and shares of
// the memory resolved, and secrets masked.
func (c *Config) Print(w io.Writer) error {
	effective := *c
	budget := c.Budget()
	effective.Memory.Limit = budget.Limit
	effective.Limits.LiveWindow, effective.Limits.WriteQueue = budget.LiveWindow, budget.WriteQueue
	effective.Limits.RequestMemory = budget.RequestMemory
	effective.Media.ThumbnailMemory = budget.ThumbnailMemory
	open := c.RegistrationOpen()
	effective.Registration.Enabled = &open
	guests := c.GuestsAllowed()
	effective.Guests.Enabled = &guests
	out, err := yaml.MarshalWithOptions(effective, yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	_, err = w.Write(out)
	return err
}

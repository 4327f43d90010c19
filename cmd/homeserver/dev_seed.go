package main

import (
	"context"
	"flag"
	"io"

	"homeserver/internal/auth"
	"homeserver/internal/devkit"
	"homeserver/internal/devkit/seed"
	"homeserver/internal/server"
)

// seeding is what the command line says of the data that a development server begins with.
type seeding struct {
	file   string
	random string
	// seed is what was read; nil: nothing.
	seed *seed.Seed
}

func (s *seeding) declare(flags *flag.FlagSet) {
	flags.StringVar(&s.file, "seed", "", "fill the server with the users, rooms and messages of the YAML `FILE`")
	flags.StringVar(&s.random, "seed-random", "", "fill it with made-up data: `NUMBERS` such as users=200,rooms=50,events=100000,seed=1")
}

// read reads the seed for a server of that name, which has users beside those of the file.
func (s *seeding) read(serverName string, users []auth.NewAccount) (err error) {
	switch {
	case s.file != "" && s.random != "":
		return usagef("dev: --seed and --seed-random exclude each other")
	case s.random != "":
		r, err := seed.ParseRandom(s.random)
		if err != nil {
			return usagef("dev: --seed-random: %v", err)
		}
		s.seed = r.New()
		return nil
	case s.file == "":
		return nil
	}
	var others []string
	for _, u := range users {
		others = append(others, u.Username)
	}
	s.seed, err = seed.Read(s.file, serverName, others...)
	return err
}

// load fills the server, and adds what is there.
func (s *seeding) load(ctx context.Context, on *server.Services, out io.Writer, there *devkit.Contents) error {
	if s.seed == nil {
		return nil
	}
	loaded, err := seed.Load(ctx, (*seed.Services)(on), s.seed, out)
	if err != nil {
		return err
	}
	for _, u := range loaded.Users {
		there.Users = append(there.Users, devkit.User(u))
	}
	for _, r := range loaded.Rooms {
		there.Rooms = append(there.Rooms, devkit.Room(r))
	}
	return nil
}

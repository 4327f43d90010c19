package testserver

// settings are what the options have set.
type settings struct {
	program string
	flags   []string
}

// Option sets something of a server.
type Option func(*settings)

// Flags adds flags of `homeserver dev`; `homeserver help dev` lists them.
func Flags(flags ...string) Option {
	return func(s *settings) { s.flags = append(s.flags, flags...) }
}

// User makes a user with a device that is logged in.
func User(name, password string) Option { return Flags("--user", name+":"+password) }

// Admin makes a user who is an administrator.
func Admin(name, password string) Option { return Flags("--user", name+":"+password+":admin") }

// Seed fills the server with the users, rooms and messages of a YAML file.
func Seed(file string) Option { return Flags("--seed", file) }

// SeedRandom fills it with made-up data, such as "users=20,rooms=5,events=1000,seed=1".
func SeedRandom(numbers string) Option { return Flags("--seed-random", numbers) }

// ServerName is the part of user IDs after the colon, instead of localhost.
func ServerName(name string) Option { return Flags("--server-name", name) }

// Program is the path of the program homeserver.
func Program(path string) Option { return func(s *settings) { s.program = path } }

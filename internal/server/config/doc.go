// Package config reads the server's configuration: one YAML file, the environment and the flags
// of the command line, over defaults that work with no configuration at all.
//
// Its promises:
//
//   - A setting is declared once, as a field of [Config]. Its key in the file, its environment
//     variable and its place in the list of known keys all follow from that declaration.
//   - A flag wins over the environment, the environment over the file, the file over the default.
//   - Nothing is guessed and nothing is ignored: an unknown key, an unknown HOMESERVER_* variable, a
//     key set twice or a value that cannot be used is an error, which names the place, the key and
//     what is allowed. All of them are reported at once.
//   - A secret is never printed: [Secret] hides itself from fmt, slog, JSON and YAML.
//
// The data flows one way: file → environment → flags → [Config] → validation. The rules about
// values are in validate.go and nowhere else.
package config

package seed

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Random says how much the generator makes.
type Random struct {
	Users, Rooms, Events int
	// Seed chooses the data: the same numbers make the same.
	Seed uint64
	// Until is when the newest event was sent; the zero time: when the seed is loaded.
	Until time.Time
}

// The most that the generator makes.
const (
	maxRandomUsers  = 100_000
	maxRandomRooms  = 100_000
	maxRandomEvents = 10_000_000
)

// DefaultRandom is what is made where nothing else is said.
func DefaultRandom() Random { return Random{Users: 20, Rooms: 10, Events: 1000, Seed: 1} }

// ParseRandom parses a text such as users=200,rooms=50,events=100000,seed=1.
func ParseRandom(text string) (Random, error) {
	r := DefaultRandom()
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch key {
		case "":
		case "users":
			r.Users, err = parseCount(value, maxRandomUsers)
		case "rooms":
			r.Rooms, err = parseCount(value, maxRandomRooms)
		case "events":
			r.Events, err = parseCount(value, maxRandomEvents)
		case "seed":
			if r.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
				err = fmt.Errorf("must be a whole number")
			}
		case "until":
			if r.Until, err = time.Parse(time.RFC3339, value); err != nil {
				err = fmt.Errorf("must be a time such as 2026-03-01T09:30:00Z")
			}
		default:
			return r, fmt.Errorf("%q is not known; known are users, rooms, events, seed and until", key)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", key, err)
		}
	}
	return r, nil
}

func parseCount(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("must be a whole number from 1 to %d", most)
	}
	return n, nil
}

// RandomPassword is that of all users that the generator makes.
const RandomPassword = "password"

// New makes up a seed: users with names and pictures; rooms whose sizes follow a power law, as they do in the world:
// few large ones and many small ones, a fifth of them direct chats, the others in a space; and conversations of the
// last half year, with replies, threads, reactions, edits, redactions and pictures.
func (r Random) New() *Seed {
	g := &generator{Random: r, rand: rand.New(rand.NewPCG(r.Seed, 0x5eed))} //nolint:gosec // G404: it must be repeatable
	g.seed = &Seed{made: map[string][]byte{}}
	if !r.Until.IsZero() {
		g.seed.Now = Time{set: true, fixed: r.Until}
	}
	g.pictures()
	g.users()
	g.rooms()
	return g.seed
}

// generator makes one seed.
type generator struct {
	Random
	rand  *rand.Rand
	seed  *Seed
	files []string // the pictures that are sent
}

func pick[T any](g *generator, list []T) T { return list[g.rand.IntN(len(list))] }

// chance reports true in so many of a thousand cases.
func (g *generator) chance(ofThousand int) bool { return g.rand.IntN(1000) < ofThousand }

// picturesMade is how many pictures are sent, and avatarsMade how many users have.
const picturesMade, avatarsMade = 12, 40

func (g *generator) pictures() {
	for i := range picturesMade {
		g.files = append(g.files, g.picture(fmt.Sprintf("photo-%d.png", i+1), 160+16*g.rand.IntN(6), 120+16*g.rand.IntN(4)))
	}
	for i := range min(avatarsMade, g.Users) {
		g.picture(avatarFile(i), 64, 64)
	}
}

func avatarFile(i int) string { return fmt.Sprintf("avatar-%d.png", i+1) }

// picture makes a small picture of a few coloured tiles, and returns its name.
func (g *generator) picture(name string, width, height int) string {
	const tile = 16
	colours := color.Palette{}
	for range 4 {
		colours = append(colours, color.NRGBA{uint8(g.rand.IntN(256)), uint8(g.rand.IntN(256)), uint8(g.rand.IntN(256)), 255})
	}
	of := image.NewPaletted(image.Rect(0, 0, width, height), colours)
	tiles := make([]uint8, (width/tile+1)*(height/tile+1))
	for i := range tiles {
		tiles[i] = uint8(g.rand.IntN(len(colours)))
	}
	for y := range height {
		for x := range width {
			of.SetColorIndex(x, y, tiles[(y/tile)*(width/tile+1)+x/tile])
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, of); err == nil { // it is written to memory
		g.seed.made[name] = file.Bytes()
	}
	return name
}

func (g *generator) users() {
	taken := map[string]int{}
	for i := range g.Users {
		first, last := pick(g, firstNames), pick(g, lastNames)
		name := strings.ToLower(first)
		if taken[name]++; taken[name] > 1 {
			name = strings.ToLower(first + "." + last)
		}
		if taken[name]++; taken[name] > 1 && strings.Contains(name, ".") {
			name += strconv.Itoa(taken[name])
		}
		u := User{Name: Text{Value: name}, Password: RandomPassword, Displayname: first + " " + last, Admin: i == 0}
		if i < avatarsMade {
			u.Avatar.Value = avatarFile(i)
		}
		g.seed.Users = append(g.seed.Users, u)
	}
}

// power returns the weight of the i-th by a power law.
func power(i int, exponent float64) float64 { return math.Pow(float64(i+1), -exponent) }

func (g *generator) rooms() {
	shares := make([]float64, g.Rooms)
	total := 0.0
	for i := range shares {
		shares[i] = power(i, 0.9)
		total += shares[i]
	}
	left := g.Events
	var space Room
	for i := range g.Rooms {
		events := min(left, int(math.Ceil(float64(g.Events)*shares[i]/total)))
		if i == g.Rooms-1 {
			events = left
		}
		left -= events
		r := g.room(i, max(2, int(float64(g.Users)*power(i, 0.6))))
		(&conversation{generator: g, room: &r}).fill(events)
		g.seed.Rooms = append(g.seed.Rooms, r)
		if !r.Direct {
			space.Children = append(space.Children, r.ID)
		}
	}
	if len(space.Children) > 1 {
		space.Name, space.Alias, space.Topic, space.Type = "Everything", "everything", "All rooms of this place", "m.space"
		space.ID.Value, space.Preset, space.Creator = "space", "public_chat", g.seed.Users[0].Name
		space.Listed, space.At = true, Ago(halfYear)
		for _, u := range g.seed.Users[1:] {
			space.Members = append(space.Members, Member{User: u.Name})
		}
		g.seed.Rooms = append(g.seed.Rooms, space)
	}
}

const halfYear = 180 * 24 * time.Hour

// room makes a room with so many members.
func (g *generator) room(i, size int) Room {
	size = min(size, g.Users)
	people := g.rand.Perm(g.Users)[:size]
	r := Room{ID: Text{Value: fmt.Sprintf("room-%d", i+1)}, Creator: g.seed.Users[people[0]].Name, At: Ago(halfYear)}
	if i%5 == 4 && size >= 2 {
		r.Direct, r.Preset = true, "trusted_private_chat"
		r.Members = []Member{{User: g.seed.Users[people[1]].Name}}
		return r
	}
	r.Name = pick(g, adjectives) + " " + pick(g, nouns)
	r.Topic = g.sentence()
	r.Preset = "private_chat"
	if i%5 < 3 {
		r.Preset, r.Listed = "public_chat", true
		r.Alias = fmt.Sprintf("%s-%d", strings.ToLower(strings.ReplaceAll(r.Name, " ", "-")), i+1)
	}
	for _, p := range people[1:] {
		m := Member{User: g.seed.Users[p].Name, At: Ago(halfYear)}
		switch {
		case g.chance(30):
			m.Membership = "invite"
		case g.chance(30):
			m.Membership = "leave"
		}
		r.Members = append(r.Members, m)
	}
	return r
}

// sentence makes up a sentence.
func (g *generator) sentence() string {
	words := make([]string, 3+g.rand.IntN(12))
	for i := range words {
		words[i] = pick(g, vocabulary)
	}
	text := strings.Join(words, " ")
	return strings.ToUpper(text[:1]) + text[1:] + pick(g, endings)
}

package seed

import (
	"context"
	"encoding/json"
	"fmt"

	"homeserver/internal/auth"
	"homeserver/internal/auth/session"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/accountdata"
	"homeserver/internal/profile"
)

// users makes the accounts with their profiles and devices.
func (l *loader) users(ctx context.Context) error {
	l.devices = make([][]LoadedUser, len(l.seed.Users))
	return each(ctx, len(l.seed.Users), usersAtOnce, func(ctx context.Context, i int) error {
		u := &l.seed.Users[i]
		if err := l.makeUser(ctx, i, u); err != nil {
			return l.failed(u.Line, fmt.Sprintf("users[%d]", i), err)
		}
		l.bar.Add(1)
		return nil
	})
}

func (l *loader) makeUser(ctx context.Context, i int, u *User) error {
	localpart, _, err := matrix.ParseUserID(l.user(u.Name.Value))
	if err != nil {
		return err
	}
	id, err := l.Accounts.CreateAccount(ctx, auth.NewAccount{Username: localpart, Password: u.Password, Admin: u.Admin})
	if err != nil {
		return err
	}
	devices := u.Devices
	if len(devices) == 0 {
		devices = []Device{{}}
	}
	for _, d := range devices {
		in, err := l.Accounts.LogIn(ctx, id, session.NewDevice{ID: d.ID, DisplayName: d.Name, AccessToken: d.AccessToken})
		if err != nil {
			return err
		}
		l.devices[i] = append(l.devices[i], LoadedUser{
			UserID: id, DeviceID: in.DeviceID, AccessToken: in.AccessToken, Password: u.Password, Admin: u.Admin,
		})
	}
	if err := l.setProfile(ctx, id, u); err != nil {
		return err
	}
	for typ, content := range u.AccountData {
		if typ == accountdata.TypeDirect {
			continue // with the rooms, once these are there
		}
		if err := l.AccountData.Set(ctx, id, "", typ, content); err != nil {
			return fmt.Errorf("account_data.%s: %w", typ, err)
		}
	}
	return nil
}

func (l *loader) setProfile(ctx context.Context, id string, u *User) error {
	fields := map[string]string{profile.DisplayName: u.Displayname}
	if u.Avatar.Value != "" {
		picture, err := l.upload(ctx, id, u.Avatar.Value)
		if err != nil {
			return err
		}
		fields[profile.AvatarURL] = picture.uri
	}
	who := matrix.Session{UserID: id}
	for field, value := range fields {
		if value == "" {
			continue
		}
		raw, err := matrix.EncodeJSON(value)
		if err != nil {
			return err
		}
		if err := l.Profiles.Set(ctx, who, id, field, raw); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

// directChats sets m.direct of the users who have any, in addition to what the file has of it.
func (l *loader) directChats(ctx context.Context) error {
	chats := map[string]map[string][]string{} // by user, and by the other one
	add := func(user, other, room string) {
		if chats[user] == nil {
			chats[user] = map[string][]string{}
		}
		chats[user][other] = append(chats[user][other], room)
	}
	for i := range l.seed.Users {
		u := &l.seed.Users[i]
		raw, there := u.AccountData[accountdata.TypeDirect]
		if !there {
			continue
		}
		given := map[string][]string{}
		if err := json.Unmarshal(raw, &given); err != nil {
			return l.failed(u.Line, fmt.Sprintf("users[%d].account_data.m.direct", i), fmt.Errorf("must be lists of rooms by user"))
		}
		for other, rooms := range given {
			for _, room := range rooms {
				add(l.user(u.Name.Value), l.user(other), l.room(room))
			}
		}
	}
	for i := range l.seed.Rooms {
		for _, pair := range l.seed.Rooms[i].pairs() {
			add(l.user(pair[0]), l.user(pair[1]), l.roomIDs[i])
		}
	}
	for user, list := range chats {
		raw, err := matrix.EncodeJSON(list)
		if err == nil {
			err = l.AccountData.Set(ctx, user, "", accountdata.TypeDirect, raw)
		}
		if err != nil {
			return fmt.Errorf("m.direct of %s: %w", user, err)
		}
	}
	return nil
}

// pairs returns, of a direct chat, each member who is there with each other one who is there or invited.
func (r *Room) pairs() (list [][2]string) {
	if !r.Direct {
		return nil
	}
	in, all := []string{r.Creator.Value}, []string{r.Creator.Value}
	for _, m := range r.Members {
		switch m.Membership {
		case "", "join":
			in = append(in, m.User.Value)
			all = append(all, m.User.Value)
		case "invite":
			all = append(all, m.User.Value)
		}
	}
	for _, user := range in {
		for _, other := range all {
			if user != other {
				list = append(list, [2]string{user, other})
			}
		}
	}
	return list
}

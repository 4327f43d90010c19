package presence

import (
	"strconv"
	"time"

	"homeserver/internal/event"
)

// AppendJSON writes the state as an m.presence event.
func (st *State) AppendJSON(dst []byte, now time.Time) []byte {
	dst = append(dst, `{"content":`...)
	dst = st.AppendContent(dst, now, true)
	dst = append(dst, `,"sender":`...)
	dst = event.AppendString(dst, st.UserID)
	return append(dst, `,"type":"m.presence"}`...)
}

// AppendOldJSON writes the state as the m.presence event of /events, /initialSync and
// presence lists, which names the user in the content, too.
func (st *State) AppendOldJSON(dst []byte, now time.Time) []byte {
	dst = append(dst, `{"content":`...)
	dst = st.AppendContent(dst, now, true)
	dst = append(dst[:len(dst)-1], `,"user_id":`...)
	dst = event.AppendString(dst, st.UserID)
	dst = append(dst, `},"sender":`...)
	dst = event.AppendString(dst, st.UserID)
	return append(dst, `,"type":"m.presence"}`...)
}

// AppendOldList writes the list of such events.
func AppendOldList(dst []byte, states []State, now time.Time) []byte {
	dst = append(dst, '[')
	for i := range states {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = states[i].AppendOldJSON(dst, now)
	}
	return append(dst, ']')
}

// AppendContent writes the content about the user, with the name and the avatar or, as
// GET /presence/{userId}/status has it, without.
func (st *State) AppendContent(dst []byte, now time.Time, withProfile bool) []byte {
	dst = append(dst, '{')
	if withProfile {
		dst = appendText(dst, "avatar_url", st.AvatarURL)
	}
	if st.Presence == Online {
		dst = strconv.AppendBool(append(dst, `"currently_active":`...), st.CurrentlyActive)
		dst = append(dst, ',')
	}
	if withProfile {
		dst = appendText(dst, "displayname", st.DisplayName)
	}
	if !st.LastActive.IsZero() {
		dst = append(dst, `"last_active_ago":`...)
		dst = strconv.AppendInt(dst, max(0, now.Sub(st.LastActive).Milliseconds()), 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"presence":"`+st.Presence+`"`...)
	if st.StatusMsg != "" {
		dst = append(dst, `,"status_msg":`...)
		dst = event.AppendString(dst, st.StatusMsg)
	}
	return append(dst, '}')
}

func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, `"`+name+`":`...)
	dst = event.AppendString(dst, value)
	return append(dst, ',')
}

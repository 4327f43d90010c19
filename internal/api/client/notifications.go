package client

import (
	"strconv"

	"homeserver/internal/event"
	"homeserver/internal/httpapi"
	"homeserver/internal/matrix"
	"homeserver/internal/personal/push"
	"homeserver/internal/rooms/timeline"
	"homeserver/internal/syncstream"
)

// notificationsAnswer is a page of notifications.
type notificationsAnswer struct {
	timeline.Format
	*push.NotificationPage
}

// AppendJSON writes the page.
func (n notificationsAnswer) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if n.Next != nil {
		dst = append(dst, `"next_token":`...)
		dst = event.AppendString(dst, syncstream.FormatPlace(*n.Next))
		dst = append(dst, ',')
	}
	dst = append(dst, `"notifications":[`...)
	for i := range n.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.appendNotification(dst, &n.List[i])
	}
	return append(dst, `]}`...)
}

func (n *notificationsAnswer) appendNotification(dst []byte, one *push.Notification) []byte {
	dst = append(dst, `{"actions":[`...)
	for i, action := range one.Actions {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, action...)
	}
	dst = append(dst, `],"event":`...)
	n.Access = one.Access
	dst = n.Format.AppendJSON(dst, one.Event)
	dst = append(dst, `,"read":`...)
	dst = strconv.AppendBool(dst, one.Read)
	dst = append(dst, `,"room_id":`...)
	dst = event.AppendString(dst, one.Event.RoomID)
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, one.Event.OriginServerTS, 10)
	return append(dst, '}')
}

// notifications lists the notifications of the user who asks. M_INVALID_PARAM for a
// token or a limit that is none. Section "Listing Notifications", GET /notifications.
func (a *api) notifications(r *httpapi.Request, who matrix.Session) (any, error) {
	from, err := a.queryToken(r, "from")
	if err != nil {
		return nil, err
	}
	limit, err := r.QueryInt("limit", push.DefaultNotifications)
	if err != nil {
		return nil, err
	}
	page, err := a.Push.Notifications(r.Context(), push.NotificationQuery{
		UserID: who.UserID, From: from, Limit: limit, Highlights: r.Query("only") == "highlight",
	})
	if err != nil {
		return nil, err
	}
	format := timeline.Format{Now: a.Now(), UserID: who.UserID, DeviceID: who.DeviceID}
	return notificationsAnswer{format, page}, nil
}

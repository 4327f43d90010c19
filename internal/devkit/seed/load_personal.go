package seed

import (
	"cmp"
	"context"
	"fmt"
)

// personal sets what users have set for the room: receipts, read markers, tags, account data.
func (f *filler) personal(ctx context.Context) error {
	if err := f.receipts(ctx); err != nil {
		return err
	}
	for user, name := range f.room.FullyRead {
		id, err := f.event(ctx, name.Value)
		if err == nil {
			err = f.AccountData.SetFullyRead(ctx, f.user(user), f.roomID, id)
		}
		if err != nil {
			return f.failed(name.Line, fmt.Sprintf("%s.fully_read.%s", f.key, user), err)
		}
	}
	for user, tags := range f.room.Tags {
		for tag, content := range tags {
			if err := f.AccountData.SetTag(ctx, f.user(user), f.roomID, tag, content); err != nil {
				return f.failed(f.room.Line, fmt.Sprintf("%s.tags.%s.%s", f.key, user, tag), err)
			}
		}
	}
	for user, data := range f.room.AccountData {
		for typ, content := range data {
			if err := f.AccountData.Set(ctx, f.user(user), f.roomID, typ, content); err != nil {
				return f.failed(f.room.Line, fmt.Sprintf("%s.account_data.%s.%s", f.key, user, typ), err)
			}
		}
	}
	return nil
}

// mainThread is the thread of receipts for what is in no thread.
const mainThread = "main"

func (f *filler) receipts(ctx context.Context) error {
	for i := range f.room.Receipts {
		r := &f.room.Receipts[i]
		var thread *string
		id, err := f.event(ctx, r.Event.Value)
		if err == nil && r.Thread.Value != "" {
			root := r.Thread.Value
			if root != mainThread {
				root, err = f.event(ctx, root)
			}
			thread = &root
		}
		if err == nil {
			err = f.Receipts.Send(ctx, f.user(r.User.Value), f.roomID, cmp.Or(r.Type, "m.read"), id, thread)
		}
		if err != nil {
			return f.failed(r.Line, fmt.Sprintf("%s.receipts[%d]", f.key, i), err)
		}
	}
	return nil
}

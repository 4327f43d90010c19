// Package emailpusher sends users mails about what they have not read: client-server API,
// "Push Notifications", pushers of the kind email.
//
// Promises:
//
//   - A mail is sent after [quiet], counted from the first notification that is still unread,
//     and then not again for an hour, which doubles with each mail up to a day, until the user
//     has read what the mails were about.
//   - A mail is about what is unread when it is sent, and stands in no mail before: the newest
//     of it, some rooms and some messages of each. Of an encrypted message it says only that
//     there is one.
//   - A mail has a link by which its receiver ends such mails without logging in, also by the
//     mail program: RFC 8058.
//   - An address that does not belong to the user's account any more gets none.
//   - When to look at what is unread is stored, so that a restart loses nothing. After a crash
//     a mail may come twice.
//   - Without a mail server nothing is done.
//
// What is bounded: the pushers that are looked at together, and the mails that are sent at the
// same time.
//
// Data flow, in the one process that leads:
//
//	journal ─▶ follow: in whose rooms has anything happened? ─▶ table pushers: due
//	table pushers: who is due? ─▶ push.Pushes: what is unread? ─▶ digest ─▶ mail server
package emailpusher

// Package thirdpartyinvite invites people to rooms of whom only an address outside Matrix
// is known: client-server API, "Third-party invites".
//
// # Promises
//
//   - An identity server is asked only for those who may invite to the room.
//   - Whoever has the address bound to a user ID is invited like anybody else. For
//     others the identity server keeps the invitation, and the room holds a
//     m.room.third_party_invite event that its keys can redeem.
//   - Addresses stand in no event.
//   - An invitation is redeemed only with a signature of a key that is still valid.
//
// # Data flow
//
//	Invite ─▶ rooms.MayInvite ─▶ identity.Lookup ─▶ rooms.Invite
//	                                    └─ unknown ─▶ identity.StoreInvite ─▶ rooms.SetState
//	OnBind ─▶ rooms.PendingInvite ─▶ check signature ─▶ identity.KeyIsValid ─▶ rooms.Exchange
//	Join ─▶ rooms.PendingInvite ─▶ check signature ─▶ identity.KeyIsValid ─▶ rooms.Redeem
package thirdpartyinvite

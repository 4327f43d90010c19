// Package thirdpartyinvite invites people to rooms by an address outside Matrix:
// client-server API, "Third-party invites".
//
// # Promises
//
//   - An identity server is asked only for users who may invite to the room.
//   - A person whose address is bound to a user ID is invited like anybody else. For
//     others the identity server stores the invitation, and the room has an
//     m.room.third_party_invite event that its keys can redeem.
//   - No event has an address in it.
//   - An invitation is redeemed only with a signature of a key that is still valid.
//
// # Data flow
//
//	Invite ─▶ rooms.MayInvite ─▶ identity.Lookup ─▶ rooms.Invite
//	                                    └─ unknown ─▶ identity.StoreInvite ─▶ rooms.SetState
//	OnBind ─▶ rooms.PendingInvite ─▶ check signature ─▶ identity.KeyIsValid ─▶ rooms.Exchange
//	Join ─▶ rooms.PendingInvite ─▶ check signature ─▶ identity.KeyIsValid ─▶ rooms.Redeem
package thirdpartyinvite

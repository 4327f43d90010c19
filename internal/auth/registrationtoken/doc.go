// Package registrationtoken has the tokens by which people may register: the stage m.login.registration_token of
// interactive authentication. Client-server API, "Token-authenticated registration".
//
// # Promises
//
//   - A token for one account never makes two: its use is counted in the transaction that makes the account, and only
//     if there is one left. A token whose stage is completed is not reserved: who registers first uses it.
//   - A token that the operator deletes is worth nothing from then on, also in registrations that are under way.
//   - The operator makes at most [MaxTokens].
package registrationtoken

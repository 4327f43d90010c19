// Package spaces shows rooms to users who need not be in them: the tree of a space, and
// summaries of single rooms.
//
// Promises:
//
//   - A room is shown only to users who are in it, may join it or knock on it, or may read
//     it: one rule for all of it, view.mayKnow.
//   - The pages of a tree fit together, whatever happens to the rooms between two
//     requests and whichever process answers: a token names the place of all rooms at which
//     the first page was read, and each page walks the tree as it was there. What is
//     shown of a room, and whether, is as of now.
//   - The number of statements for a page grows with the depth of the tree and the bytes of
//     the answer, but not with the number of rooms.
//
// Data flow of a page: Hierarchy ─▶ walk: for each level of the tree, all previews in one
// statement and all children in another, until the page is full ─▶ summaries of the
// rooms on the page, as of now ─▶ [Page], which reads the children's events while it is
// written.
//
// Rooms that are unknown to this server are left out, as are those beyond the bounds of
// a walk: MaxDepth levels and maxChildren children. The servers in via are where walk
// would ask for an unknown room.
package spaces

// Package preview makes previews of links: what a page says of itself by OpenGraph, with its
// picture as a file of the server's own. Client-server API, section "Content repository",
// GET /preview_url. It owns the table url_previews.
//
// Promises:
//
//   - Pages and pictures are fetched through internal/safehttp alone, a bounded number at
//     once, of which each caller has a part; of a page no more than its beginning is read.
//   - A preview is made once for all who want it at the moment, and then kept for a while.
//   - An answer does not say which names and addresses there are inside the network of the
//     server: an address that must not be connected to is as one where nobody is.
//
// Data flow: url_previews, or page ─▶ OpenGraph ─▶ picture ─▶ media ─▶ url_previews.
package preview

// Package pages has the pages for people: what stands at the root, such as the interactive
// tutorial, the login fallback, and the fallback of interactive authentication. Everything is
// embedded, and served as it is in this folder: there is no build step.
//
// # Promises
//
//   - Nothing is loaded from elsewhere. The Content-Security-Policy of each page
//     allows scripts, styles and requests of this server only, and no inline script,
//     so that text from others cannot become a program.
//   - No page can be framed. Clients open the fallback pages in a browser or as the
//     top of a web view, where framing has no part.
//   - A page that is only a form works without JavaScript.
//   - Pages can be read and used with a keyboard, with a screen reader, on a narrow
//     screen, and in light and dark.
//
// # Adding a page
//
// Write a template that fills the blocks of layout.html, with the classes of
// style.css, and answer with what [Render] returns:
//
//	{{define "title"}}Your address is confirmed{{end}}
//	{{define "main"}}<p class="notice good">You can close this page.</p>{{end}}
//
//	return web.Render("confirmed.html", http.StatusOK, nil)
//
// Every .css, .js and .svg file of the folder is served below [FilesPath].
package pages

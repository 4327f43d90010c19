// Package picture makes thumbnails of pictures: PNG, JPEG, GIF and WebP.
//
// [Inspect] reads the header of a file, [Plan] chooses the thumbnail, and
// [Target.Render] makes it. [Target.Memory] returns how much memory that needs, before
// anything is unpacked. A thumbnail is never larger than its source, and has no
// metadata.
package picture

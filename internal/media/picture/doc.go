// Package picture makes thumbnails of pictures: PNG, JPEG, GIF and WebP.
//
// [Inspect] reads what the header of a file says, [Plan] chooses what thumbnail is made of
// it, and [Target.Render] makes that. Before anything is unpacked it is known how much
// memory that takes: [Target.Memory]. A thumbnail is never larger than its source, and
// bears nothing but the picture.
package picture

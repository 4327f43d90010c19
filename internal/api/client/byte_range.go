package client

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxRanges is how many parts of a file one request gets. By RFC 9110, section 14.2, a server
// may ignore requests for more.
const maxRanges = 32

// byteRanges reads the header Range of a request for a file of so many bytes, and
// writes it in the form that http.ServeContent, which supports less of the grammar,
// understands. Ranges beyond the end are left out; if none is left, the result is one
// that can't be satisfied either. Empty: the header is to be ignored, because it is of
// another unit, malformed, or asks for too many parts. RFC 9110, sections 14.1 and
// 14.2.
func byteRanges(header string, size int64) string {
	unit, set, _ := strings.Cut(header, "=")
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return ""
	}
	specs := strings.Split(set, ",")
	if len(specs) > maxRanges {
		return ""
	}
	var within []string
	asked := false
	for _, spec := range specs {
		if spec = strings.Trim(spec, " \t"); spec == "" {
			continue // a list may have empty elements: section 5.6.1
		}
		start, end, ok := parseRange(spec, size)
		if !ok {
			return ""
		}
		asked = true
		if start < end {
			within = append(within, fmt.Sprintf("%d-%d", start, end-1))
		}
	}
	switch {
	case !asked:
		return ""
	case len(within) == 0:
		return fmt.Sprintf("bytes=%d-", size)
	default:
		return "bytes=" + strings.Join(within, ",")
	}
}

// parseRange reads first-last, first- or -suffix as the bytes from start to before
// end of a file of that size, which may be none. It is not ok if it is no range.
func parseRange(spec string, size int64) (start, end int64, ok bool) {
	first, last, dash := strings.Cut(spec, "-")
	switch {
	case !dash || first == "" && last == "":
		return 0, 0, false
	case first == "":
		suffix, ok := parsePosition(last)
		return max(size-suffix, 0), size, ok
	case last == "":
		start, ok := parsePosition(first)
		return start, size, ok
	}
	start, ok = parsePosition(first)
	until, untilOK := parsePosition(last)
	return start, min(until, size-1) + 1, ok && untilOK && start <= until
}

// parsePosition reads digits. A number too large for an int64 becomes the largest one.
func parsePosition(digits string) (int64, bool) {
	if strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

package journal

import (
	"strings"

	"homeserver/internal/doctor"
)

// Checks returns the checks of positions for the operator's doctor.
func (j *Journal) Checks() []doctor.Check {
	tables := j.Tables()
	selects, newest := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		selects[i] = `SELECT '` + t + `' AS name, position FROM ` + t + ` WHERE position IS NOT NULL`
		newest[i] = `SELECT '` + t + `' AS name, max(position) AS position FROM ` + t
	}
	all, last := strings.Join(selects, ` UNION ALL `), strings.Join(newest, ` UNION ALL `)
	beyond := ` FROM (` + last + `) t, journal j WHERE t.position > j.position`
	return []doctor.Check{
		doctor.Rows{
			Title:  "Journal: its position",
			Find:   `SELECT format('the journal is at position %s, and %s has an entry at %s', j.position, t.name, t.position)` + beyond,
			Repair: []string{`UPDATE journal SET position = (SELECT max(t.position)` + beyond + `) WHERE EXISTS (SELECT` + beyond + `)`},
		}.Check(),
		doctor.Rows{
			Title: "Journal: one entry at a position",
			Find: `
				SELECT format('position %s is that of %s entries: %s', position, count(*), string_agg(name, ', ' ORDER BY name))
				FROM (` + all + `) t GROUP BY position HAVING count(*) > 1 ORDER BY position`,
		}.Check(),
		doctor.Rows{
			Title: "Journal: gaps",
			Find: `
				SELECT format('an entry of %s stands at position %s, where there should be none', t.name, t.position)
				FROM journal_gaps g JOIN (` + all + `) t ON t.position > g.after AND t.position <= g.up_to
				UNION ALL
				SELECT format('an entry of %s stands at position %s', t.name, t.position) FROM (` + all + `) t WHERE t.position < 1
				UNION ALL
				SELECT format('the gap up to position %s is not behind the journal at %s', g.up_to, j.position)
				FROM journal_gaps g, journal j WHERE g.up_to > j.position
				UNION ALL
				SELECT format('the gaps after the positions %s and %s overlap', g.after, h.after)
				FROM journal_gaps g JOIN journal_gaps h ON h.after > g.after AND h.after < g.up_to`,
		}.Check(),
		doctor.Rows{
			Title: "Journal: followers",
			Find: `
				SELECT format('the follower %s is at position %s, and the journal at %s', f.name, f.position, j.position)
				FROM followers f, journal j WHERE f.position > j.position OR f.position < 0`,
			Repair: []string{`
				UPDATE followers f SET position = greatest(0, least(f.position, j.position)) FROM journal j
				WHERE f.position > j.position OR f.position < 0`},
		}.Check(),
	}
}

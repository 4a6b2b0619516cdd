"""Words of the growth section: what stands around its figures, which fill the braces."""

GROWTH = """Processor seconds of a whole process and its children; the first point of a curve is
what every run costs. The exponent is the slope in logarithms over sizes down to a tenth of the
largest, that first point subtracted: 1 is linear. Target: nothing above {most:g} (the tenth is for
clocks and caches); what may not grow at all stays within {flat:.0f} % of its first point. A cost
that stays within that is flat and has no exponent."""
PLAN = """Nobody has run this: the figures are those above, carried on along their lines. Taken for
each participant is one visit with three scans of 1 mm, of which one image is made: {prepare:.0f} s
of preparation and {synthesis:.1f} s of synthesis, figures and page, in processor time of this
machine, beside {start:.1f} s to start a job; {files} files in {folders} folders with {mb:.0f} MB
in the output, and {raw:.0f} MB of scans. On top come finer scans, several sessions, failures that
are done again, and the time of a shared disk, which is no processor time. Wall times are those of
cores that do nothing else."""
LAYOUT = """**Array.** Tasks of {per_task} participants each (`PER_TASK={per_task}`,
[clusters](clusters.md)): the start is {chunk_share:.1f} % of such a task, of one with a single
participant it would be {share:.0f} %. That is {tasks:,} tasks of {hours:.1f} h on one core. Where
`MaxArraySize` is SLURM's own {most} (`scontrol show config` tells), the last index is
{last}: {arrays} arrays, each with its own part of `participants.txt`. One core a task, with
`--low-mem`, wastes none: steps of one visit wait for one another, visits do not. A task that was
ended is sent again and does those of its participants who are not done."""
SHARED = """**Shared disk.** In the output's own folder lie {top:,} entries, a folder and a page
for each participant, in `logs/` {logs:,}. A job reads the files of its own participants; beside
them it reads the names in the output's folder twice, in `logs/` once and in the dataset's once.
That is within the curve of one job above, but over a network {top:,} names take as long as its
server needs: give each ten thousand participants an output of their own where that is long, or
where quotas count files. Files are made by rename, {writes:,.0f} a second by {cores:,} cores. Work
directories belong on the node's own disk, where most small files come and go. No job writes
`index.html` and `verdicts.tsv` once the output has more than 200 participants, or ten times those
of the job: 1,000 jobs do not wait for their lock. One `participant --index-only` at the end makes
them in {index:.0f} min; the page has then about {page_mb:.0f} MB, more than a browser likes, and
`verdicts.tsv` is what to work with. Give jobs lists of labels: each is looked up by its name,
and nothing indexes the others."""
FETCHED = """**OpenNeuro.** About {datasets:,} datasets with {people:,} participants: orders of
magnitude, to be counted on the day. Many have no anatomical scan that a recipe could use;
`--dry-run --json` tells, on clones without content. Of the others about {mb:.0f} MB of scans are
fetched for each participant, {tb:.1f} TB in all and never at once: `scripts/batch` holds eight
participants at a time ([batches](batches.md)). A dataset is a line of its list and a task of an
array. Clones are not in the figures: thousands of links each, made by git-annex at the pace of the
disk. How many may fetch at a time is for the server to say; begin with few. The largest datasets
decide when the last task ends: give them arrays of their own."""

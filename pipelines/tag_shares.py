"""The tags on the page of `songscan show` about the catalogue: how common each label is.

Conventions. As pipelines/report.py. A share counts the tracks in which a label is present, of those in which it was
judged: labels may come and go, and thresholds too, from one version of a model to the next.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.tag_page import OTHER, group_order, label_grid, once
from pipelines.visible import BAR_WIDTH, bar, cell, count, visible
from transforms.tables import literal
from transforms.tasks import TAGS

TOP = 8  # labels of each group

#: The rows of the view `tags` for tracks in `present`, counted. The view itself ranks every row, which takes several
#: times as long and gigabytes; `work` alone tells which openings count. The token, slow to compare, need not be: an
#: opening has one.
_COUNT = f"""
CREATE TEMP TABLE heard AS
SELECT model_name, model_version, coalesce(nullif(label_group, ''), {literal(OTHER)}) AS label_group, label,
       count(*) AS tracks, count(threshold) AS judged, count_if(present) AS present,
       sum(score) FILTER (NOT isnan(score)) AS total
FROM parts.tags
SEMI JOIN (FROM parts.current_units SEMI JOIN present USING (track_id) WHERE task = {literal(TAGS)})
USING (track_id, model_name, model_version, run_id, time)
GROUP BY ALL
"""

#: A track has each label of a model once, so the label with most tracks has them all.
_MODELS = """
SELECT model_name, list_sort(list(model_version)), sum(tracks)::BIGINT, sum(judged) > 0
FROM (SELECT model_name, model_version, max(tracks) AS tracks, sum(judged) AS judged FROM heard GROUP BY ALL)
GROUP BY ALL ORDER BY ALL
"""

_LABELS = f"""
SELECT label_group, label, {{value}} AS value FROM heard WHERE model_name = $1 GROUP BY 1, 2
HAVING value > 0
QUALIFY row_number() OVER (PARTITION BY label_group ORDER BY value DESC, label) <= {TOP}
ORDER BY value DESC, label
"""
_SHARE, _MEAN = "sum(present) / nullif(sum(judged), 0)", "sum(total) / sum(tracks)"


def print_shares(console: Console, connection: Any) -> None:
    """Prints for each model the commonest labels of each group; reads the table `present` of pipelines/report.py."""
    connection.execute(_COUNT)
    for name, versions, tracks, thresholds in connection.execute(_MODELS).fetchall():
        told = "share of them with each label" if thresholds else "mean scores (it has no thresholds)"
        model = visible(f"{name} {', '.join(versions)}")
        console.print(Text(f"\nTags by {model}: {count(tracks, 'track')} heard, {told}", style="bold", overflow="fold"))
        labels = connection.execute(_LABELS.format(value=_SHARE if thresholds else _MEAN), [name]).fetchall()
        if labels:
            _print_labels(console, sorted(labels, key=lambda label: group_order(label[0])), percent=thresholds)
        else:
            console.print("No label reaches its threshold." if thresholds else "All scores are 0.")


def _print_labels(console: Console, labels: list[tuple[str, str, float]], *, percent: bool) -> None:
    """Labels in groups, each with a bar; bars of all groups compare."""
    grid, room = label_grid(console, [(group, label) for group, label, _ in labels])
    grid.add_column("share" if percent else "mean score", overflow="fold")
    longest = min(max(room - len(" 100.0 %"), 0), BAR_WIDTH)
    largest = max(value for *_, value in labels)
    for group, (_, label, value) in zip(once([group for group, *_ in labels]), labels, strict=True):
        drawn = bar(value * longest / BAR_WIDTH, largest, ascii_only=console.options.ascii_only)
        grid.add_row(cell(group), cell(label), f"{drawn} {f'{100 * value:.1f} %' if percent else f'{value:.2f}'}")
    console.print(grid)

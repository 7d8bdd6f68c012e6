"""The building blocks of the dashboards: a panel as data, and how Grafana's own models are made from it.

`make.py` calls it. Every panel has a unit and a description; queries name `$namespace`, `$queue` or
`$version` only where their metrics have such a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import Dashboard, DashboardCursorSync, DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="$source")

VARIABLES = {
    "namespace": ("Temporal namespace", "label_values(temporal_num_pollers, namespace)"),
    "queue": ("Task queue", "label_values(temporal_num_pollers, task_queue)"),
    "version": ("Version", "label_values(orderfleet_build_info, version)"),
}
"""Variables of the dashboards, with their label and the query of their values."""

_RUNS = "sum by (role, version) (orderfleet_build_info{})"
DEPLOYED = f"{_RUNS.format('')} unless {_RUNS.format(' offset 2m')}"
"""A role runs a version that it did not run two minutes ago. `changes` ignores new series."""


@dataclass(frozen=True)
class Query:
    """One line, or one for each set of labels."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel; `number` shows the last value without a graph."""

    title: str
    unit: str
    description: str
    queries: Sequence[Query]
    runbook: str = ""
    number: bool = False


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Page:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def page(content: Page) -> Dashboard:
    """The dashboard as Grafana reads it."""
    made = (
        dashboard.Dashboard(content.title)
        .uid(content.uid)
        .description(content.description)
        .tags(["orderfleet"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .with_variable(dashboard.TextBoxVariable("runbooks").label("Runbooks at").default_value("deploy/docs/runbooks"))
        .annotation(
            dashboard.AnnotationQuery()
            .name("Deployments")
            .datasource(SOURCE)
            .enable(True)
            .icon_color("blue")
            .expr(DEPLOYED)
        )
    )
    expressions = " ".join(query.expr for row in content.rows for panel in row.panels for query in panel.queries)
    for name, (label, values) in VARIABLES.items():
        # A variable without effect would mislead.
        if f"${name}" in expressions:
            made = made.with_variable(_variable(name, label, values))
    for row in content.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
    return made.build()


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(content: Panel) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if content.number:
        made = stat.Panel().span(6).height(5).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        made = (
            timeseries.Panel()
            .span(12)
            .height(8)
            .min(0)
            .fill_opacity(8)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.TABLE)
                .placement(LegendPlacement.RIGHT)
                .show_legend(True)
                .calcs(["lastNotNull", "max"])
            )
            .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        )
    made = made.title(content.title).description(content.description).unit(content.unit).datasource(SOURCE)
    if content.runbook:
        made = made.links(
            [dashboard.DashboardLink("Runbook").url(f"${{runbooks}}/{content.runbook}.md").target_blank(True)]
        )
    for letter, query in zip("ABCDEF", content.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expr).legend_format(query.legend)
        made = made.with_target(target if content.number else target.exemplar(True))
    return made

"""Schema and table of a chart's values are generated from its comments."""

from __future__ import annotations

import pytest

from charts.chart_docs import documented, files, values
from orderfleet_local.stack import paths

CHARTS = ["orderfleet", "orderfleet-dev"]


@pytest.mark.parametrize("chart", CHARTS)
def test_schema_and_table_are_current(chart):
    for file, content in files(chart).items():
        assert file.is_file(), "generate it: make chart-docs"
        assert file.read_text() == content, "generate it again: make chart-docs"


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_documented(chart):
    described = {value.path for value in documented(chart)}

    def undocumented(tree, path=()):
        for key, value in tree.items():
            here = (*path, key)
            if here in described:
                continue
            if isinstance(value, dict):
                yield from undocumented(value, here)
            else:
                yield ".".join(here)

    assert not list(undocumented({k: v for k, v in values(chart).items() if k != "workers"}))


def test_values_files_are_short():
    for chart in CHARTS:
        text = (paths.checkout() / "charts" / chart / "values.yaml").read_text()
        assert len(text.splitlines()) < 360

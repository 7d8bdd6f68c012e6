"""The documents name exactly the existing settings, with their other names and defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orderfleet.cli.errors import variables
from orderfleet.cli.settings import descriptions, setting_text, settings_markdown, with_settings_table
from orderfleet.settings import Settings
from orderfleet.settings.base import PREFIX
from orderfleet_local.cli.env import API_URL
from orderfleet_local.stack import paths, processes, roles

DOCS = paths.checkout() / "deploy" / "docs"
PAGE = DOCS / "settings.md"
DOCUMENTS = [paths.checkout() / "README.md", *sorted(DOCS.rglob("*.md"))]
OF_THE_STACK = {paths.CACHE_VARIABLE, paths.STATE_VARIABLE, API_URL}
"""Variables that no process of the product reads."""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for field in Settings.model_fields:
        for name in variables(field):
            monkeypatch.delenv(name, raising=False)


def test_settings_page_shows_the_table_of_the_settings():
    text = PAGE.read_text()
    assert with_settings_table(text) == text, "run make generate"


def test_every_setting_is_described():
    assert descriptions().keys() == Settings.model_fields.keys()
    for field in Settings.model_fields:
        for name in variables(field):
            assert f"`{name}`" in settings_markdown()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_variable_that_a_document_names_exists(document: Path):
    named = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", document.read_text()))
    known = {name for field in Settings.model_fields for name in variables(field)}
    assert named <= known | OF_THE_STACK


def test_variables_that_the_stack_sets_are_settings():
    known = {name for field in Settings.model_fields for name in variables(field)}
    set_by_roles = {name for role in roles.ROLES for name in (*role.ports, *role.environment)}
    assert set_by_roles <= known
    assert {processes.STACK_MARK, processes.PART_MARK}.isdisjoint(known)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_documented_default_set_by_any_documented_name_is_the_default(field, monkeypatch):
    default = getattr(Settings(), field)
    text = setting_text(Settings.model_fields[field].default)
    if default is None:
        assert text == ""
        return
    for name in variables(field):
        monkeypatch.setenv(name, text)
        assert getattr(Settings(), field) == default, name
        monkeypatch.delenv(name)


def test_own_variable_has_priority(monkeypatch):
    monkeypatch.setenv("API_PORT", "1")
    assert Settings().api_port == 1
    monkeypatch.setenv("ORDERFLEET_API_PORT", "2")
    assert Settings().api_port == 2

from __future__ import annotations

import json

import pytest

from orderfleet.cli.settings import BEGIN, END, setting_text, with_settings_table
from orderfleet.settings import Settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret-1@h/d", "postgresql://u:***@h/d"),
        ("postgresql+asyncpg://u:secret-1@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=secret-1&a=b", "postgresql://h/d?user=u&password=***&a=b"),
        ("postgresql://:secret-1@h1,h2/d", "postgresql://:***@h1,h2/d"),
    ],
)
def test_settings_hide_the_password_of_a_url(orderfleet, monkeypatch, url, shown):
    monkeypatch.setenv("DATABASE_URL", url)
    for arguments in ([], ["-o", "json"]):
        result = orderfleet("settings", *arguments)
        assert result.code == 0
        assert "secret-1" not in result.out
        assert shown in result.out


def test_settings_show_which_are_set(orderfleet, monkeypatch):
    monkeypatch.setenv("API_PORT", "9000")
    lines = orderfleet("settings").out.splitlines()
    assert [line.split()[1:] for line in lines if line.startswith("ORDERFLEET_API_PORT")] == [["9000", "set"]]
    assert [line.split()[1:] for line in lines if line.startswith("ORDERFLEET_REVIEW_TIMEOUT")] == [["24h", "default"]]
    as_json = json.loads(orderfleet("settings", "-o", "json").out)
    assert as_json["ORDERFLEET_API_PORT"] == "9000"
    assert set(as_json) == {f"ORDERFLEET_{field.upper()}" for field in Settings.model_fields}


def test_settings_table_replaces_only_text_between_its_markers():
    made = with_settings_table(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert made.startswith(f"before\n{BEGIN}\n| variable |")
    assert made.endswith(f"{END}\nafter\n")
    assert with_settings_table(made) == made


def test_settings_write_to_a_file_without_markers_fails_and_keeps_it(orderfleet, tmp_path):
    file = tmp_path / "x.md"
    file.write_text("nothing")
    result = orderfleet("settings", "--write", str(file))
    assert result.code == 1
    assert "the markers of the table are missing" in result.err
    assert file.read_text() == "nothing"


def test_setting_text_is_the_form_of_the_environment():
    assert setting_text(True) == "true"
    assert setting_text(None) == ""
    assert setting_text(Settings().review_timeout) == "24h"

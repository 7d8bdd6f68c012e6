from __future__ import annotations

import json

import pytest

from orderfleet.cli.settings import BEGIN, END, setting_text, with_settings_table
from orderfleet.settings import Settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:geheim@h/d", "postgresql://u:***@h/d"),
        ("postgresql+asyncpg://u:geheim@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=geheim&a=b", "postgresql://h/d?user=u&password=***&a=b"),
        ("postgresql://:geheim@h1,h2/d", "postgresql://:***@h1,h2/d"),
    ],
)
def test_password_is_never_shown(orderfleet, monkeypatch, url, shown):
    monkeypatch.setenv("DATABASE_URL", url)
    for arguments in ([], ["-o", "json"]):
        result = orderfleet("settings", *arguments)
        assert result.code == 0
        assert "geheim" not in result.out
        assert shown in result.out


def test_effective_settings_say_what_was_set(orderfleet, monkeypatch):
    monkeypatch.setenv("API_PORT", "9000")
    lines = orderfleet("settings").out.splitlines()
    assert [line.split()[1:] for line in lines if line.startswith("ORDERFLEET_API_PORT")] == [["9000", "set"]]
    assert [line.split()[1:] for line in lines if line.startswith("ORDERFLEET_REVIEW_TIMEOUT")] == [["24h", "default"]]
    as_json = json.loads(orderfleet("settings", "-o", "json").out)
    assert as_json["ORDERFLEET_API_PORT"] == "9000"
    assert set(as_json) == {f"ORDERFLEET_{field.upper()}" for field in Settings.model_fields}


def test_table_is_written_between_its_marks_only():
    made = with_settings_table(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert made.startswith(f"before\n{BEGIN}\n| variable |")
    assert made.endswith(f"{END}\nafter\n")
    assert with_settings_table(made) == made


def test_file_without_a_place_for_the_table_is_left_alone(orderfleet, tmp_path):
    file = tmp_path / "x.md"
    file.write_text("nothing")
    result = orderfleet("settings", "--write", str(file))
    assert result.code == 1
    assert "there is no place for the table" in result.err
    assert file.read_text() == "nothing"


def test_values_are_written_as_the_environment_takes_them():
    assert setting_text(True) == "true"
    assert setting_text(None) == ""
    assert setting_text(Settings().review_timeout) == "24h"

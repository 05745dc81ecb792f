"""Settings: one environment variable per field, and errors that name it."""

from __future__ import annotations

from typing import Annotated

import pytest

from sagashop.settings import BadSetting, Settings, describe, load, says


class ShopSettings(Settings, frozen=True, kw_only=True):
    shelf_name: Annotated[str, says("Where the goods are")]
    open_on_sunday: Annotated[bool, says("Whether the shop opens on Sunday")] = False


def test_fields_are_read_from_variables_of_the_same_name() -> None:
    settings = load(
        ShopSettings, {"SHELF_NAME": "A", "OPEN_ON_SUNDAY": "true", "BATCH_SIZE": "7", "VISIBILITY_S": "0.5"}
    )
    assert (settings.shelf_name, settings.open_on_sunday) == ("A", True)
    assert (settings.batch_size, settings.visibility_s) == (7, 0.5)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(Settings, {"BATCH_SIZE": ""}).batch_size == 250


def test_a_value_of_the_wrong_type_names_its_variable() -> None:
    with pytest.raises(BadSetting, match=r"BATCH_SIZE.*reads and commits together"):
        load(Settings, {"BATCH_SIZE": "many"})


def test_a_value_outside_the_choices_names_its_variable() -> None:
    with pytest.raises(BadSetting, match="LOG_LEVEL"):
        load(Settings, {"LOG_LEVEL": "loud"})


def test_a_missing_setting_without_default_is_named_with_its_meaning() -> None:
    with pytest.raises(BadSetting, match=r"SHELF_NAME is not set.*Where the goods are"):
        load(ShopSettings, {})


def test_every_setting_has_a_description() -> None:
    rows = describe(ShopSettings)
    assert ("OPEN_ON_SUNDAY", "false", "Whether the shop opens on Sunday") in rows
    assert ("SHELF_NAME", None, "Where the goods are") in rows
    assert [row.env_name for row in rows if not row.description] == []

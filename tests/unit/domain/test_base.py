from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError, TerminatedError

from orderfleet.domain.base import error_message
from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PaymentRefused("account closed"), "account closed"),
        (ProviderUnavailable("later"), "later"),
        (
            ApplicationError("the package is already dispatched", type="ChangeRejected"),
            "the package is already dispatched",
        ),
        (ApplicationError("", type="ChangeRejected"), "ApplicationError"),
        (TerminatedError("terminated"), "terminated"),
        (KeyError("sku"), "'sku' (KeyError)"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_error_message_never_begins_with_a_class_name_where_there_is_a_message(error, message):
    assert error_message(error) == message

"""Failures as Temporal keeps them: of an error's message, and of those it came from, the beginning is kept.

The data converters of every client and worker use it. An adapter of a user's own may raise whatever its provider
said; Temporal puts a failure of its own in place of one that is too large, and what kind it was is lost.
"""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

from orderfleet.contracts.words import LONGEST, cut


class BoundedFailureConverter(DefaultFailureConverter):
    """Converts as the SDK does, with messages cut."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Convert the exception; the SDK comes here for each that it came from as well."""
        super().to_failure(_bounded(exception), payload_converter, failure)


class SealedFailureConverter(BoundedFailureConverter):
    """The same; messages and stack traces go where they are encrypted."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _bounded(error: BaseException) -> BaseException:
    """The same error to Temporal, with a message that may travel."""
    if isinstance(error, ApplicationError):
        # One that came from Temporal is as it was.
        if error.failure is not None or len(error.message) <= LONGEST:
            return error
        told = ApplicationError(
            cut(error.message),
            *error.details,
            type=error.type,
            non_retryable=error.non_retryable,
            next_retry_delay=error.next_retry_delay,
            category=error.category,
        )
    elif isinstance(error, FailureError) or len(str(error)) <= LONGEST:
        return error
    else:
        told = ApplicationError(cut(str(error)), type=type(error).__name__)
    told.__traceback__ = error.__traceback__
    told.__cause__, told.__context__ = error.__cause__, error.__context__
    told.__suppress_context__ = error.__suppress_context__
    return told

"""Counts what the orphan sweep finds. Implements `OrphanObserver`; the activities of maintenance call it."""

from __future__ import annotations

from orderfleet.telemetry.catalog import (
    ORPHAN_SWEEP_COMPLETED,
    ORPHANS_FOUND,
    WORKFLOW_ID_CONFLICTS,
    WORKFLOWS_MISSING,
)
from orderfleet.telemetry.current import exemplar


class OrphanMetrics:
    """Sweeps, orphans and id conflicts of this worker."""

    def sweep_completed(self) -> None:
        """Set the time of the last completed sweep."""
        ORPHAN_SWEEP_COMPLETED.set_to_current_time()

    def orphan_found(self, source: str) -> None:
        """Count an orphan."""
        ORPHANS_FOUND.labels(source=source).inc()

    def workflow_missing(self) -> None:
        """Count a check that found no workflow."""
        WORKFLOWS_MISSING.inc()

    def workflow_id_conflict(self, workflow_type: str) -> None:
        """Count a workflow id in use."""
        WORKFLOW_ID_CONFLICTS.labels(workflow_type=workflow_type).inc(exemplar=exemplar())

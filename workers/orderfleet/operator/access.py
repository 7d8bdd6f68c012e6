"""How the operator logs in to the API server: one function for kopf and for our own writes.

The pod's service account first, else KUBECONFIG's current context, by kopf's own readers of both.
"""

from __future__ import annotations

import kopf


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Read the credentials as they are now; called again, it reads what was rotated.

    Raises:
        kopf.LoginError: there are none.
    """
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise kopf.LoginError("there is neither a service account nor a kubeconfig; set KUBECONFIG")
    return info

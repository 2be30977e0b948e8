"""What a user of the tests' JupyterLab may do with the workbench: what a file says, so that a test can change it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.auth.authorizer import Authorizer

PERMITS = "WORKBENCH_TEST_PERMITS"
"""Names the file; in it are the permitted actions: read, write, execute."""


class Permits(Authorizer):
    """Permits what the file says on the workbench, and everything else."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Tell whether the user may do it."""
        return not resource.startswith("workbench:") or action in Path(os.environ[PERMITS]).read_text().split()

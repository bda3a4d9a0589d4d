"""What a backend is, and how backends are found.

A backend is an object registered under the entry-point group ``unifront.backends``; the name of its entry
is the import name of its framework. It owns one table from operations to native callables; all else here
is moving arrays and compiling programs. Nothing in unifront knows more of a framework than this protocol.
"""

from unifront.backends.choice import (
    DEFAULT_VARIABLES,
    Placement,
    chosen_around,
    default_name,
    placement,
    placement_on,
    set_backend,
    use_backend,
)
from unifront.backends.host import (
    HostKey,
    aligned_copy,
    host_free_bytes,
    refuse_after_fork,
)
from unifront.backends.protocol import (
    Array,
    Backend,
    Compiled,
    Step,
    StepPlan,
    StepState,
)
from unifront.backends.registry import (
    backend_of,
    backend_of_class,
    entry_points,
    get_backend,
    installed,
    is_installed,
    names,
    to_install,
)
from unifront.backends.rows import (
    LiveRows,
    Row,
    added_rows,
    family_modules,
    is_plain,
    kind_of,
    live_table,
    when_rows_change,
    with_plain,
)

__all__ = [
    "DEFAULT_VARIABLES",
    "Array",
    "Backend",
    "Compiled",
    "HostKey",
    "LiveRows",
    "Placement",
    "Row",
    "Step",
    "StepPlan",
    "StepState",
    "added_rows",
    "aligned_copy",
    "backend_of",
    "backend_of_class",
    "chosen_around",
    "default_name",
    "entry_points",
    "family_modules",
    "get_backend",
    "host_free_bytes",
    "installed",
    "is_installed",
    "is_plain",
    "kind_of",
    "live_table",
    "names",
    "placement",
    "placement_on",
    "refuse_after_fork",
    "set_backend",
    "to_install",
    "use_backend",
    "when_rows_change",
    "with_plain",
]

"""An independent reading of the law: a reference model, worlds, histories and bad planners.

Nothing here imports the planner's stages; only the value types of `core.model` and `core.rules`
are shared, as the language in which the question is put and the answer given.
"""

import os

SCALE = int(os.environ.get("SYNCD_EXAMPLES", "1"))
"""Multiplies the number of random examples: 1 in the suite, 20 for a long look."""

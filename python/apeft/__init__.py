"""Reads runs and artifacts of apeft; needs nothing but Python, and gives pandas tables where pandas is installed.

    import apeft
    run = apeft.open("quickstart")              # recipe, run, "latest", tag, or folder
    run.table()                                 # the comparison of its arms
    run.artifact("tuned@preferences=general")   # files and rows of a stage
"""

from .cell import Cell
from .run import Artifact, Run, Stage, open, runs

__all__ = ["Artifact", "Cell", "Run", "Stage", "open", "runs"]

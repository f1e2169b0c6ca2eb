"""Names of cells, such as ``tuned@algorithm=dpo,seed=0``."""

import json


class Cell:
    """A stage with the values of matrix variables and the seed that it depends on."""

    def __init__(self, name):
        self.name = name
        self.stage, _, rest = name.partition("@")
        self.values = {}
        self.seed = None
        while rest:
            variable, found, rest = rest.partition("=")
            if not found:
                # No name of a cell, but of a stage with an `@` in it.
                self.stage, self.values, self.seed = name, {}, None
                return
            value, rest = _value(rest)
            if variable == "seed":
                self.seed = value
            else:
                self.values[variable] = value

    def fits(self, other):
        """Whether this name, with as many values as it gives, means the other cell."""
        return (
            self.stage == other.stage
            and all(other.values.get(name) == value for name, value in self.values.items())
            and self.seed in (None, other.seed)
        )

    def __repr__(self):
        return f"Cell({self.name!r})"


def _value(text):
    """The value at the beginning, which is quoted as in JSON where it has commas, and the rest."""
    if text.startswith('"'):
        value, end = json.JSONDecoder().raw_decode(text)
        return value, text[end:].lstrip(",")
    value, _, rest = text.partition(",")
    return value, rest

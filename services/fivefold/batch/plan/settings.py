"""The settings of batch scoring: one frozen class, checked when it is built.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`). Credentials and endpoints of object
stores are no settings of ours: they come from the variables that the stores' own tools use (`AWS_*`, `GOOGLE_*`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from fivefold.batch.formats.dialect import TextDialect, wrong
from fivefold.core.settings import SettingsError

FORMATS = ("parquet", "csv", "jsonl")
ENGINES = ("auto", "local", "ray", "ray-data")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What a run needs beside its bundle, its input and its output; sizes in bytes. Raises `SettingsError`."""

    format: str = "parquet"
    """The format of the output: parquet, csv or jsonl."""

    columns: tuple[str, ...] = ()
    """Input columns that the output carries beside the answers."""

    contract: str = ""
    """The version of the contract that the input is written for, and the output; empty: the bundle's default one."""

    strict_columns: bool = False
    """Refuse a table with a column that is neither in the contract nor carried, instead of ignoring it."""

    max_bad_fraction: float = 0.01
    """A run with a larger share of quarantined rows is not published. Judged at the end, and before it only where the
    share of the whole input is already larger."""

    max_bad_rows: int | None = None
    """A run with more quarantined rows stops at once; None: as many as there are."""

    allow_torn: bool = False
    """Publish also where the input breaks off: a stream that ends too early, a row group that cannot be read."""

    delimiter: str = ","
    """What stands between the cells of CSV input; `\\t` and `tab` are a tab."""

    na: tuple[str, ...] = ()
    """Words that a bare cell of CSV input has for null, beside the empty cell."""

    booleans: tuple[str, ...] = ()
    """The words for true and for false in CSV input, beside `true` and `false`: True,False as pandas writes them."""

    encoding: str = ""
    """Of text input; empty: UTF-8."""

    workers: int = 0
    """Processes that score, one core each; 0: as many as the cluster, or this machine, has cores."""

    fragment_bytes: int = 128 * 1024 * 1024
    """The size of input that is finished, or begun anew after a death, as one; smaller where there is little input."""

    chunk_rows: int = 8192
    """Rows that are checked and scored together."""

    digest_inputs: bool = False
    """Tell local files apart by their content instead of size and time of change."""

    delta: str = ""
    """Publish into this Delta table too, in whose directory the output lies."""

    iceberg: str = ""
    """Publish into this Iceberg table too: CATALOG.NAMESPACE.TABLE."""

    engine: str = "auto"
    """Who does the work, with the same results: `local` (one process of this machine, without Ray), `ray` (a worker for
    each core), `auto` (`ray` in a job of a cluster and where it pays its start, else `local`), or `ray-data` for who
    builds pipelines of it."""

    attempts: int = 3
    """Workers that may die over one fragment before the run is given up."""

    store_http: bool = False
    """Talk to object stores whose endpoint is not https."""

    @property
    def dialect(self) -> TextDialect:
        """How text input is written."""
        delimiter = "\t" if self.delimiter in ("\\t", "tab") else self.delimiter
        # As JSON keeps them, they are lists.
        return TextDialect(delimiter, tuple(self.na), tuple(self.booleans), self.encoding)

    def __post_init__(self) -> None:
        found = wrong(self.dialect)
        if found is not None:
            raise SettingsError(found)
        if self.format not in FORMATS:
            raise SettingsError(f"format: expected one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.engine not in ENGINES:
            raise SettingsError(f"engine: expected one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.engine == "local" and self.workers > 1:
            raise SettingsError(f"workers: the engine local is one process, got {self.workers}")
        if not isfinite(self.max_bad_fraction) or not 0 <= self.max_bad_fraction <= 1:
            raise SettingsError(f"max_bad_fraction: expected 0 to 1, got {self.max_bad_fraction}")
        if self.iceberg and self.iceberg.count(".") < 2:
            raise SettingsError(f"iceberg: expected CATALOG.NAMESPACE.TABLE, got {self.iceberg!r}")
        at_least = {"workers": 0, "fragment_bytes": 1, "chunk_rows": 1, "attempts": 1, "max_bad_rows": 0}
        for name, low in at_least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise SettingsError(f"{name}: expected at least {low}, got {value}")
        if len(set(self.columns)) != len(self.columns):
            raise SettingsError(f"columns: a name stands twice in {','.join(self.columns)}")
        for name in (*self.columns, *self.na, *self.booleans, self.delimiter, self.encoding, self.delta, self.iceberg):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise SettingsError(f"expected UTF-8, got {name!r}") from None
